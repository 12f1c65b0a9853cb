"""What is asked of a run while its last snapshot is still computed."""

from pathlib import Path

import torch
from torch import nn

import fathom
from held import held_decompositions


def test_probes_in_the_training_loop_are_of_the_step_that_was_just_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(60, 4)
    data = (x, (x[:, 0] > 0).long())
    with fathom.watch(model, tmp_path / "run", keep="covariance", budget=None) as monitor:
        for step in (3, 4):
            model(x)
            with held_decompositions() as gate:
                monitor.snapshot(step)
                gate.open_soon()
                assert fathom.probe(model, data, data, run=tmp_path / "run").step == step
            with fathom.project(model, tmp_path / "run", phase="train") as projection:
                assert projection.widths
