"""A small training that is watched, for the tests of where its numbers go."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

import fathom
from fathom.sink import Sink

STEPS = 3


def watched(run: Path | None, sinks: Sequence[Sink]) -> list[fathom.Snapshot]:
    """Train a little in both phases, and return the snapshots, which are recorded."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    taken = []
    with fathom.watch(model, run, sinks=sinks, budget=None) as monitor:
        for step in range(STEPS):
            for training in (True, False):
                model.train(training)
                model(torch.randn(200, 4))
            snapshot = monitor.snapshot(10 * step, loss=1 / (step + 1), accuracy=float("nan"))
            taken.append(snapshot.wait())
    return taken


def expected(snapshots: Sequence[fathom.Snapshot], name: str) -> dict[int, float]:
    """What the shared name of a number stands for, by step."""
    _, phase, statistic, *layer = name.split("/")
    if phase == "metrics":
        return {each.step: each.metrics[statistic] for each in snapshots}
    if not layer:
        return {each.step: each.average_saturation(phase) for each in snapshots}
    return {
        each.step: float(each.phase(phase)["/".join(layer)].statistics[statistic])
        for each in snapshots
    }


NAMES = {
    *(
        f"fathom/{phase}/{statistic}/{layer}"
        for phase in ("train", "eval")
        for statistic in ("saturation", "intrinsic_dimension")
        for layer in ("0", "2")
    ),
    "fathom/train/average_saturation",
    "fathom/eval/average_saturation",
    "fathom/metrics/loss",
}
"""What a dashboard gets of that training unasked; its accuracy is nan, and left out."""

OWN = NAMES - {"fathom/metrics/loss"}
"""What the user's own run gets of it, in which the user logs the rest."""


def offline(folder: Path) -> dict[str, str]:
    """The environment in which dashboards send nothing, and write below a folder."""
    return {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TRACKIO_DIR": str(folder / "trackio"),
        "WANDB_DIR": str(folder),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
    }
