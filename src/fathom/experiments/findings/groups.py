"""Which trainings are compared: of one data set and one family of networks."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fathom.experiments.models.build import architecture
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import grouped, problem_of

_DRAWN_FROM = {
    "seven-vs-nine": "digits",
    "unbalanced-digits": "digits",
    "cat-vs-dog": "cifar10",
    "unbalanced-cifar10": "cifar10",
}
"""Data sets that are a part of another, so that their problems can be compared."""


class Kin(NamedTuple):
    """A name of an architecture in three: `resnet18-stride1` is (resnet, 18, -stride1).

    Attributes:
        family: Up to the first digit.
        depth: The digits, or "".
        variant: What follows, or "".
    """

    family: str
    depth: str
    variant: str


def source(outcome: Outcome) -> str:
    """Return the data set that a training's is, or is a part of.

    Args:
        outcome: Of a training.
    """
    return _DRAWN_FROM.get(outcome.task.data, outcome.task.data)


def kin(outcome: Outcome) -> Kin:
    """Return what a training's network is kin to.

    Args:
        outcome: Of a training.
    """
    family, depth, variant = re.split(r"(\d+|$)", outcome.task.model, maxsplit=1)
    return Kin(family, depth, variant)


def looks_at_all(outcome: Outcome) -> bool:
    """Return whether the papers look at all layers of such a network, not at one.

    Args:
        outcome: Of a training.
    """
    return not architecture(outcome.task.model).focus


def tells_classes(outcome: Outcome) -> bool:
    """Return whether there is a test accuracy: autoencoders have none.

    Args:
        outcome: Of a training.
    """
    return "test_accuracy" in outcome.metrics


def groups(outcomes: Iterable[Outcome]) -> list[list[Outcome]]:
    """Return the parts of trainings that are of one data set and one family.

    Args:
        outcomes: Of trainings.
    """
    return list(grouped(outcomes, lambda each: (each.task.data, kin(each).family)).values())


def label(outcomes: Sequence[Outcome]) -> str:
    """Return what trainings are of, such as `digits (2 to 10 classes), vgg16`.

    Args:
        outcomes: Of trainings; at least one.
    """
    data = ", ".join(map(_data, grouped(outcomes, lambda each: each.task.data).values()))
    return f"{data}, {', '.join(dict.fromkeys(each.task.model for each in outcomes))}"


def _data(outcomes: Sequence[Outcome]) -> str:
    tasks = [each.task for each in outcomes]
    marks = []
    if any(task.classes is not None for task in tasks):
        marks.append(f"{_range(sorted({problem_of(each).classes for each in outcomes}))} classes")
    if any(task.clutter for task in tasks):
        marks.append(f"clutter {_range(sorted({task.clutter for task in tasks}))}")
    return tasks[0].data + (f" ({', '.join(marks)})" if marks else "")


def _range(values: Sequence[float]) -> str:
    ends = dict.fromkeys((values[0], values[-1]))
    return " to ".join(f"{each:g}" for each in ends)
