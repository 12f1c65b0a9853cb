"""Where the files of an experiment lie, and how its small ones are written: whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.errors import ExperimentError
from fathom.experiments.task import Task
from fathom.views.files import replaced


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of an experiment.

    Attributes:
        root: The folder, which need not be there yet.
    """

    root: Path

    @property
    def plan(self) -> Path:
        """What was asked for: the experiment and its tasks."""
        return self.root / "experiment.json"

    @property
    def figures(self) -> Path:
        """The folder of the figures."""
        return self.root / "figures"

    def run(self, task: Task) -> Path:
        """Return the fathom run of a task; `root / "runs"` holds nothing else.

        Args:
            task: Of this experiment.
        """
        return self.root / "runs" / task.name

    def folder(self, task: Task) -> Path:
        """Return the folder of all else of a task.

        Args:
            task: Of this experiment.
        """
        return self.root / "tasks" / task.name

    def asked(self, task: Task) -> Path:
        """Return the file that holds the task itself, so that no other takes its place.

        Args:
            task: Of this experiment.
        """
        return self.folder(task) / "task.json"

    def done(self, task: Task) -> Path:
        """Return the mark of a finished task, with its last numbers.

        Args:
            task: Of this experiment.
        """
        return self.folder(task) / "done.json"

    def failed(self, task: Task) -> Path:
        """Return the traceback of a task that failed when it was last tried.

        Args:
            task: Of this experiment.
        """
        return self.folder(task) / "failed.txt"

    def progress(self, task: Task) -> Path:
        """Return how far a task is: epochs that are done, and the seconds they took.

        Args:
            task: Of this experiment.
        """
        return self.folder(task) / "progress.json"

    def checkpoint(self, task: Task) -> Path:
        """Return where it goes on: weights and the optimiser's state, until it is done.

        Args:
            task: Of this experiment.
        """
        return self.folder(task) / "checkpoint.pt"

    def weights(self, task: Task) -> Path:
        """Return the weights at its end: a state dict.

        Args:
            task: Of this experiment.
        """
        return self.folder(task) / "weights.pt"

    def lock(self, task: Task) -> Path:
        """Return the file that is locked by whoever trains it.

        Args:
            task: Of this experiment.
        """
        return self.folder(task) / "lock"


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write a small file.

    Args:
        path: The file; its folder is made.
        body: What JSON can hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as unfinished:
        unfinished.write_text(json.dumps(body, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a small file.

    Args:
        path: The file.

    Returns:
        What it holds; None where there is none.

    Raises:
        ExperimentError: If it holds something else.
    """
    try:
        body = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ExperimentError(
            f"experiment: {path} must hold what fathom wrote, got {error}. Remove it, and run "
            "again."
        ) from error
    if not isinstance(body, dict):
        raise ExperimentError(
            f"experiment: {path} must hold what fathom wrote, got {type(body).__name__}. Remove "
            "it, and run again."
        )
    return body
