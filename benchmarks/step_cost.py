"""How much a watched training step costs over the same step unwatched."""

from collections.abc import Sequence
from contextlib import suppress

import torch
from machine import Device
from report import Goal, Section
from training import trained_in_turns
from turns import Comparison, compared
from variants import VARIANTS
from workloads import Workload

_ALWAYS = ("unwatched", "default")

_MEASURES = {
    "default": "a sample of the rows of every layer",
    "exact": "every row of every layer",
    "floor": "the float32 products alone, kept nowhere",
}

_TEXT = """\
A step is forward, backward and SGD. Blocks of steps take turns in one process; a ratio is that of
summed times over the unwatched steps of the same rounds, with the least and the most of any round.

- **default**: `fathom.watch(model)`, judged where it was timed for 200 steps.
- **exact**: `fathom.watch(model, budget=None)`.
- **floor**: the float32 products of the same rows, uncentred, in the fastest simple way of each
  shape: feature maps as they lie, image by image, or brought together first.
- **delve**: the Delve package 0.1.50. It keeps the covariance of the last batch only, and of a
  sequence it reads the last time step only: on the GPT and the LSTM it does far less work."""

_COLUMNS = (
    "workload",
    "unwatched step, ms",
    "variant",
    "steps",
    "ratio",
    "rounds",
    "CPU time",
    "added, ms a step",
    "measures",
)


def section(workloads: Sequence[Workload], device: Device) -> Section:
    """Time every workload."""
    rows: list[tuple[str, ...]] = []
    goals: list[Goal] = []
    for workload in workloads:
        own_rows: list[tuple[str, ...]] = []
        own_goals: list[Goal] = []
        with suppress(torch.OutOfMemoryError):
            own_rows, own_goals = _measured(workload, device)
        if not own_rows:
            # Only now, as an exception holds the models while it is being handled.
            torch.cuda.empty_cache()
            own_rows = [(workload.name, "out of memory", *["–"] * (len(_COLUMNS) - 2))]
        rows += own_rows
        goals += own_goals
        print(*("  ".join(row) for row in own_rows), sep="\n", flush=True)
    return Section("A training step", _TEXT, _COLUMNS, rows, goals)


def _measured(workload: Workload, device: Device) -> tuple[list[tuple[str, ...]], list[Goal]]:
    torch.manual_seed(0)
    model, inputs = workload.build()
    times = trained_in_turns(
        model,
        inputs,
        device,
        list(VARIANTS),
        rounds=workload.rounds,
        block=workload.block,
        seldom=[name for name in VARIANTS if name not in _ALWAYS],
        every=workload.every,
    )
    base = times.pop("unwatched")
    found = {name: compared(own, base) for name, own in times.items()}
    rows: list[tuple[str, ...]] = [
        (
            workload.name,
            f"{1e3 * base.mean:.1f}",
            name,
            f"{times[name].count}",
            f"{each.ratio:.3f}",
            f"{each.least:.3f} to {each.most:.3f}",
            f"{each.cpu:.3f}",
            f"{1e3 * each.added:.2f}",
            _MEASURES.get(name, workload.delve),
        )
        for name, each in found.items()
    ]
    return rows, _goals(workload, found, steps=times["default"].count)


def _goals(workload: Workload, found: dict[str, Comparison], *, steps: int) -> list[Goal]:
    goals, name = [], workload.name
    if workload.kind in {"convolutional", "transformer"}:
        claim = f"{name}: default, summed time of 200 steps over unwatched"
        ratio = found["default"].ratio if steps >= 200 else None
        goals.append(Goal(claim, ratio, 1.02, digits=3))
    claim = f"{name}: exact, added time over that of the floor"
    share = _share(found, "floor")
    # A floor that takes far longer than what stands on it was disturbed, and says nothing.
    goals.append(Goal(claim, share if share is None or share > 0.6 else None, 1.3))
    if workload.kind == "convolutional":
        claim = f"{name}: exact, added time over Delve's"
        goals.append(Goal(claim, _share(found, "delve"), 0.5))
    return goals


def _share(found: dict[str, Comparison], other: str) -> float | None:
    """Return exact's added time over another's; None where that is lost in the noise."""
    if other not in found or found[other].added <= 0 or found["exact"].added <= 0:
        return None
    return found["exact"].added / found[other].added
