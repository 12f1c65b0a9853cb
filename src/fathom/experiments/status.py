"""How far an experiment is: read from its files alone, whichever machine works on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

from fathom.experiments.layout import Layout, read_json
from fathom.experiments.task import Task
from fathom.store.lock import is_held

STATES = ("done", "running", "failed", "waiting")
"""What a task can be: failed when it was last tried, waiting also where it was interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a task is.

    Attributes:
        task: Which one.
        state: One of `STATES`.
        epochs: Those that are done.
        seconds: What they took; of a finished task all of it.
        accuracy: On the test data, of a finished task that tells classes; else nan.
    """

    task: Task
    state: str
    epochs: int = 0
    seconds: float = 0.0
    accuracy: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The repetitions of one training.

    Attributes:
        tasks: How far each is; there is at least one.
    """

    tasks: tuple[Progress, ...]

    @property
    def problem(self) -> str:
        """Its data, with the classes and the clutter where they are not all and none."""
        data, classes, clutter, _, _ = self.tasks[0].task.cell
        some = "" if classes is None else f", {classes} classes"
        return data + some + (f", clutter {clutter:g}" if clutter else "")

    @property
    def underway(self) -> list[int]:
        """Of each running task the epochs that are done."""
        return [each.epochs for each in self.tasks if each.state == "running"]

    @property
    def begun(self) -> list[int]:
        """The same of each task that is running, or that was stopped after an epoch and goes on."""
        return [
            each.epochs
            for each in self.tasks
            if each.state == "running" or (each.state != "done" and each.epochs)
        ]

    @property
    def seconds(self) -> float:
        """The mean over the finished tasks; nan where there is none."""
        return _mean([each.seconds for each in self.tasks if each.state == "done"])

    @property
    def accuracy(self) -> float:
        """The mean on the test data, over the finished tasks that have one; else nan."""
        return _mean([each.accuracy for each in self.tasks if not math.isnan(each.accuracy)])


def progress(layout: Layout, tasks: Sequence[Task]) -> list[Progress]:
    """Read how far tasks are.

    Args:
        layout: Of the experiment.
        tasks: Its tasks.

    Returns:
        One a task, in their order.

    Raises:
        ExperimentError: If a file holds what fathom did not write.
    """
    return [_progress(layout, task) for task in tasks]


def counts(tasks: Sequence[Progress]) -> dict[str, int]:
    """Count tasks by what they are.

    Args:
        tasks: How far each is.

    Returns:
        A number for each of `STATES`.
    """
    return {state: sum(each.state == state for each in tasks) for state in STATES}


def cells(tasks: Sequence[Progress]) -> list[Cell]:
    """Gather the repetitions of each training.

    Args:
        tasks: How far each is.

    Returns:
        The cells, in the order of their first tasks.
    """
    places: dict[Any, int] = {}
    for each in tasks:
        places.setdefault(each.task.cell, len(places))
    ordered = sorted(tasks, key=lambda each: places[each.task.cell])
    return [
        Cell(tasks=tuple(group)) for _, group in groupby(ordered, key=lambda each: each.task.cell)
    ]


def last_line(layout: Layout, task: Task) -> str:
    """Return what a failed task ended with.

    Args:
        layout: Of the experiment.
        task: One that failed.

    Returns:
        The last line of its traceback; "" where that has gone, as it is tried again.
    """
    try:
        lines = layout.failed(task).read_text(errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _progress(layout: Layout, task: Task) -> Progress:
    # In this order: what ends between the two questions is then done, and not waiting.
    running = is_held(layout.lock(task))
    done = read_json(layout.done(task))
    if done is not None:
        return Progress(
            task=task,
            state="done",
            epochs=task.training.epochs,
            seconds=float(done["seconds"]),
            accuracy=float(done.get("test_accuracy", math.nan)),
        )
    so_far = read_json(layout.progress(task)) or {}
    failed = layout.failed(task).exists()
    return Progress(
        task=task,
        state="running" if running else "failed" if failed else "waiting",
        epochs=int(so_far.get("epoch", 0)),
        seconds=float(so_far.get("seconds", 0.0)),
    )


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan
