"""How long a snapshot takes, and how long it holds the training up."""

import tempfile
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from machine import Device, delve_version
from report import Goal, Section
from torch import Tensor, nn
from training import training_step
from variants import delve_tracker
from workloads import Workload

import fathom

# An epoch, and the part of it that a snapshot may hold the training up.
_EPOCH, _SHARE = 100, 0.02
_STEPS = 5

_TEXT = """\
All eigenvalues of all layers after one batch, recorded in a run (fathom) or a CSV file (Delve's
`add_saturations`). **held** is the time until `monitor.snapshot` returns to the training,
**done** until the snapshot is computed. Of a width the model is one square linear layer with two
rows a feature. Delve computes every eigenvector in float64 as well (`torch.linalg.eigh`), counts
them, and throws them away."""


def section(widths: Sequence[int], workload: Workload, device: Device, *, delve: int) -> Section:
    """Time snapshots of one layer by its width, and of all layers of a workload.

    Args:
        widths: Of the layers.
        workload: The network.
        device: Where it is trained.
        delve: The widest layer that Delve is given.
    """
    rows = []
    # The first snapshots of a process also load the solvers.
    for once in (_fathom, _delve):
        once(nn.Linear(8, 8), torch.randn(16, 8), device, 1)
    for width in widths:
        layer, rows_in = nn.Linear(width, width), torch.randn(2 * width, width)
        times = 5 if width <= 512 else 3 if width <= 1024 else 1
        held, done = _fathom(layer, rows_in, device, times)
        theirs = _delve(layer, rows_in, device, times) if width <= delve else None
        rows.append(_row(f"one layer of {width}", held, done, theirs))
    model, inputs = workload.build()
    held, done = _fathom(model, inputs, device, 5)
    theirs = _delve(model, inputs, device, 5)
    rows.append(_row(workload.name, held, done, theirs))
    epoch = _EPOCH * _step(model, inputs, device)
    goals = [
        Goal(
            f"{workload.name}: a snapshot, time held over an epoch of {_EPOCH} steps",
            held / epoch,
            _SHARE,
            digits=4,
        ),
        Goal(
            f"{workload.name}: all eigenvalues, times faster than Delve",
            None if theirs is None else theirs / done,
            5,
            digits=1,
            is_least=True,
        ),
    ]
    columns = ("of", "held, ms", "done, ms", "Delve, ms", "Delve over done")
    return Section("A snapshot", _TEXT, columns, rows, goals)


def _row(name: str, held: float, done: float, theirs: float | None) -> tuple[str, ...]:
    last = ("not run", "–") if theirs is None else (f"{1e3 * theirs:.1f}", f"{theirs / done:.1f}")
    return name, f"{1e3 * held:.2f}", f"{1e3 * done:.1f}", *last


def _fathom(model: nn.Module, inputs: Tensor, device: Device, times: int) -> tuple[float, float]:
    """Return the medians of seconds held, and until done."""
    model, inputs = model.to(device.name), inputs.to(device.name)
    held, done = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        fathom.watch(model, f"{folder}/run", budget=None) as monitor,
    ):
        for step in range(times):
            _forward(model, inputs, device)
            start = time.perf_counter()
            snapshot = monitor.snapshot(step)
            held.append(time.perf_counter() - start)
            snapshot.wait()
            done.append(time.perf_counter() - start)
    return median(held), median(done)


def _delve(model: nn.Module, inputs: Tensor, device: Device, times: int) -> float | None:
    """Return the median of seconds; None where Delve is not installed."""
    if not delve_version():
        return None
    model, inputs = model.to(device.name), inputs.to(device.name)
    # Delve finds the layers inside a model, and a layer alone has none.
    model = nn.Sequential(model)
    tracker, close = delve_tracker(model, device.name)
    taken = []
    for _ in range(times):
        _forward(model, inputs, device)
        start = time.perf_counter()
        tracker.add_saturations()
        taken.append(time.perf_counter() - start)
    close()
    return median(taken)


def _forward(model: nn.Module, inputs: Tensor, device: Device) -> None:
    with torch.no_grad(), device.autocast():
        model(inputs)
    device.synchronise()


def _step(model: nn.Module, inputs: Tensor, device: Device) -> float:
    """Return the seconds of an unwatched training step."""
    step: Callable[[], None] = training_step(model.to(device.name), inputs.to(device.name), device)
    step()
    device.synchronise()
    start = time.perf_counter()
    for _ in range(_STEPS):
        step()
    device.synchronise()
    return (time.perf_counter() - start) / _STEPS
