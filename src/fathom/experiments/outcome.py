"""What came of a training: the numbers that figures and findings are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fathom.errors import ExperimentError, RunNotFoundError
from fathom.experiments.layout import Layout, read_json
from fathom.experiments.models.build import architecture
from fathom.experiments.task import Task
from fathom.views.run import open_run

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished training.

    Attributes:
        task: Which one.
        layers: The watched layers in execution order, the output layer last.
        widths: Of each layer.
        saturation: Of a phase, `train` or `eval`: (epochs, layers), in [0, 1]; row 0 is of the
            first epoch.
        intrinsic_dimension: The same.
        rows_per_width: Of each layer in the last epoch on test data, how many rows were read for
            one of its units: (layers,), NaN where there is no reading.
        test_pictures: How many pictures were held out.
        metrics: `train_loss`, `test_loss` and, where classes are told, `train_accuracy` and
            `test_accuracy`: (epochs,).
        probes: Of a layer's name, how well a linear classifier tells held-out pictures; nothing
            where they were not asked for.
        model_accuracy: Of the model on the same held-out pictures, where there are probes.
        seconds: The whole training, its probes included.
    """

    task: Task
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    saturation: Mapping[str, Numbers]
    intrinsic_dimension: Mapping[str, Numbers]
    rows_per_width: Numbers
    test_pictures: int
    metrics: Mapping[str, Numbers]
    probes: Mapping[str, float] = field(default_factory=dict)
    model_accuracy: float = float("nan")
    seconds: float = 0.0

    @property
    def focus(self) -> int | None:
        """The place of the layer that the papers look at; None where they look at all."""
        name = architecture(self.task.model).focus
        return self.layers.index(name) if name else None


def outcomes(layout: Layout, tasks: Sequence[Task]) -> list[Outcome]:
    """Read what came of all tasks that are done.

    Args:
        layout: Of the experiment.
        tasks: Its tasks.

    Returns:
        One a finished task, in their order.

    Raises:
        ExperimentError: If the run of a finished task is not there.
        RunError: If a run cannot be read.
    """
    return [
        _outcome(layout, task, done) for task in tasks if (done := read_json(layout.done(task)))
    ]


def _outcome(layout: Layout, task: Task, done: Mapping[str, object]) -> Outcome:
    try:
        return _read(layout.run(task), task, float(str(done["seconds"])))
    except RunNotFoundError as error:
        raise ExperimentError(
            f"experiment: the run of {task.name} must be there, as it is marked as done, got "
            f"{error} Remove {layout.folder(task)}, and run again."
        ) from error


def _read(path: Path, task: Task, seconds: float) -> Outcome:
    with open_run(path) as run:
        facts = run.layer_facts
        last = run.snapshot().eval
        probed = task.record.probes and not architecture(task.model).reconstructs
        probes = run.probes() if probed else None
        return Outcome(
            task=task,
            layers=tuple(run.layers),
            widths=tuple(facts[name].width or 0 for name in run.layers),
            saturation={phase: run.statistic("saturation", phase=phase) for phase in _PHASES},
            intrinsic_dimension={
                phase: run.statistic("intrinsic_dimension", phase=phase) for phase in _PHASES
            },
            rows_per_width=np.array(
                [last[name].rows_per_width if name in last else np.nan for name in run.layers]
            ),
            # A damaged reading is not there, and the others are of the same pictures.
            test_pictures=max((each.samples for each in last.values()), default=0),
            metrics=run.metrics,
            probes={} if probes is None else {each.layer: each.eval_accuracy for each in probes},
            model_accuracy=float("nan") if probes is None else probes.model_accuracy,
            seconds=seconds,
        )


_PHASES = ("train", "eval")
