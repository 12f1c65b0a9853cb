"""What a live probe adds to a watched training step, and to the evaluation after it."""

import copy
import time
from collections.abc import Callable, Sequence

import torch
from machine import Device
from report import Goal, Section
from torch import Tensor, nn
from training import training_step
from turns import compared, in_turns
from workloads import Workload

import fathom

_CLASSES = 10

_TEXT = """\
Steps in turns, as above: watched as by default, with and without `classes=10` and a call of
`monitor.labels` a step, with a label an image or a sequence. Beside it the same with `budget=None`.
The last column is what fitting all layers takes, once, at the first call in eval."""

_COLUMNS = (
    "workload",
    "watched",
    "steps",
    "without, ms",
    "with probes, ms",
    "ratio",
    "rounds",
    "fit, ms",
)


def section(workloads: Sequence[Workload], device: Device) -> Section:
    """Time workloads of images and of sequences."""
    rows: list[tuple[str, ...]] = []
    goals: list[Goal] = []
    for workload in workloads:
        for words, options in (("default", {}), ("exact", {"budget": None})):
            rounds = workload.rounds if not options else max(1, workload.rounds // 10)
            row, ratio, steps = _measured(workload, device, rounds, words, options)
            rows.append(row)
            print("  ".join(row), flush=True)
            if not options:
                claim = f"{workload.name}: a step with live probes over one without"
                goals.append(Goal(claim, ratio if steps >= 200 else None, 1.02, digits=3))
    return Section("Live probes", _TEXT, _COLUMNS, rows, goals)


def _measured(
    workload: Workload, device: Device, rounds: int, words: str, options: dict[str, None]
) -> tuple[tuple[str, ...], float, int]:
    torch.manual_seed(0)
    model, inputs = workload.build()
    model, inputs = model.to(device.name), inputs.to(device.name)
    labels = torch.arange(len(inputs), device=device.name) % _CLASSES
    other = copy.deepcopy(model)
    plain = fathom.watch(other, **options)
    probed = fathom.watch(model, classes=_CLASSES, **options)
    steps: dict[str, Callable[[], object]] = {
        "without": training_step(other, inputs, device),
        "with": _with_labels(training_step(model, inputs, device), probed, labels),
    }
    with plain, probed:
        times = in_turns(steps, device, rounds=rounds, block=workload.block)
        fit = _fit(model, inputs, labels, probed, device)
    found = compared(times["with"], times["without"])
    row = (
        workload.name,
        words,
        f"{times['with'].count}",
        f"{1e3 * times['without'].mean:.2f}",
        f"{1e3 * times['with'].mean:.2f}",
        f"{found.ratio:.3f}",
        f"{found.least:.3f} to {found.most:.3f}",
        f"{1e3 * fit:.1f}",
    )
    return row, found.ratio, times["with"].count


def _with_labels(
    step: Callable[[], None], monitor: fathom.Monitor, labels: Tensor
) -> Callable[[], None]:
    def labelled() -> None:
        monitor.labels(labels)
        step()

    return labelled


def _fit(
    model: nn.Module, inputs: Tensor, labels: Tensor, monitor: fathom.Monitor, device: Device
) -> float:
    """Return the seconds by which the first call in eval takes longer than the second."""
    model.eval()
    taken = []
    with torch.no_grad():
        model(inputs)
        for _ in range(2):
            monitor.labels(labels)
            device.synchronise()
            start = time.perf_counter()
            model(inputs)
            device.synchronise()
            taken.append(time.perf_counter() - start)
    return taken[0] - taken[1]
