"""What networks are to learn, and trainings sorted by what they have in common."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from fathom.experiments.outcome import Outcome
from fathom.views.names import cut

_Key = TypeVar("_Key", bound=Hashable)
# Characters of a data set's name, which may be a path.
_NAME = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """What a network is to learn.

    Attributes:
        data: The name of a data set.
        classes: How many classes are told.
        clutter: How much of a photograph lies behind.
        whole: Whether these are all classes because no number was asked for: they go without
            saying.
    """

    data: str
    classes: int
    clutter: float
    whole: bool = field(compare=False)

    def __str__(self) -> str:
        """Return it in words, such as `digits (4 classes, clutter 0.5)`."""
        marks = [] if self.whole else [f"{self.classes} classes"]
        if self.clutter:
            marks.append(f"clutter {self.clutter:g}")
        return cut(self.data, _NAME) + (f" ({', '.join(marks)})" if marks else "")


def problem_of(outcome: Outcome) -> Problem:
    """Return what a training's network was to learn.

    Args:
        outcome: Of a training.
    """
    task = outcome.task
    # All classes of a data set are as many as the network has outputs.
    count = outcome.widths[-1] if task.classes is None else task.classes
    return Problem(task.data, count, task.clutter, whole=task.classes is None)


def grouped(
    outcomes: Iterable[Outcome], key: Callable[[Outcome], _Key]
) -> dict[_Key, list[Outcome]]:
    """Sort trainings by a key.

    Args:
        outcomes: The trainings.
        key: From a training to what it is sorted by.

    Returns:
        Those of each key, in the order in which the keys first come.
    """
    found: dict[_Key, list[Outcome]] = {}
    for each in outcomes:
        found.setdefault(key(each), []).append(each)
    return found
