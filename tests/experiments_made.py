"""Tasks of seconds, and what came of them to the bit."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import fathom
from fathom.experiments.layout import Layout, read_json
from fathom.experiments.task import Recording, Task, Training


def tiny(
    *,
    model: str = "dense",
    width: float = 8,
    epochs: int = 2,
    probes: bool = False,
    **others: Any,
) -> Task:
    """A training of a second on two kinds of digits."""
    return Task(
        data="seven-vs-nine",
        model=model,
        width=width,
        training=Training(epochs=epochs),
        record=Recording(probes=probes),
        **others,
    )


def bits(layout: Layout, task: Task) -> dict[str, Tensor]:
    """Everything that was recorded of a task, and its weights."""
    found = dict(torch.load(layout.weights(task), weights_only=True))
    with fathom.open_run(layout.run(task)) as run:
        for snapshot in run.snapshots():
            for phase in ("train", "eval"):
                for name, reading in getattr(snapshot, phase).items():
                    found[f"{phase} {name} {snapshot.step}"] = reading.eigenvalues
        for name, values in run.metrics.items():
            found[name] = torch.from_numpy(values)
    return found


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    """Whether two trainings left the same bits."""
    return ours.keys() == theirs.keys() and all(ours[key].equal(theirs[key]) for key in ours)


def epochs_done(layout: Layout, task: Task) -> int:
    """How many epochs of a task are done."""
    told = read_json(layout.progress(task))
    return 0 if told is None else int(told["epoch"])


@contextmanager
def killed(
    layout: Layout, tasks: Sequence[Task], workers: Callable[[], Sequence[int]]
) -> Iterator[list[int]]:
    """Kill a worker by -9 as soon as a task of which nothing is done has an epoch behind it."""
    found: list[int] = []

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            under_way = [
                task
                for task in tasks
                if not layout.done(task).exists() and epochs_done(layout, task) >= 1
            ]
            if under_way and (pids := workers()):
                os.kill(pids[0], signal.SIGKILL)
                found.append(pids[0])
                return
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    yield found
    thread.join()
