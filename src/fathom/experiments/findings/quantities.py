"""One number of one training: what the claims are about."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fathom.experiments.curves import ALIKE, curve, last, metric, pattern
from fathom.experiments.outcome import Numbers, Outcome
from fathom.experiments.problems import problem_of
from fathom.views.findings import TAIL_SHARE

SETTLED = 0.1
"""Within this share of its range from its last value a curve is taken as settled."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a training.

    Attributes:
        name: In words, from a training: of which layer it is may depend on that.
        of: The number; NaN where there is none.
        of_rows: Whether it is read from rows of activations, so that it depends on how many.
    """

    name: Callable[[Outcome], str]
    of: Callable[[Outcome], float]
    of_rows: bool = False


def named(name: str, of: Callable[[Outcome], float], *, of_rows: bool = False) -> Quantity:
    """Return a quantity of one name.

    Args:
        name: In words.
        of: The number.
        of_rows: Whether it is read from rows of activations.
    """
    return Quantity(lambda outcome: name, of, of_rows)


def curve_name(outcome: Outcome) -> str:
    """Return what `curve` is of.

    Args:
        outcome: Of a training.
    """
    if outcome.focus is None:
        return "average saturation"
    return f"saturation of {outcome.layers[outcome.focus]}"


def tail(outcome: Outcome) -> float:
    """Return which share of the layers is the tail: those at the end below half of the peak.

    The peak is the highest saturation of the pattern. A layer at half of it, or above, ends the
    tail, as does one without a number. SA 3.5 names no bound; half is that of the report of a run.

    Args:
        outcome: Of a training.

    Returns:
        In [0, 1).
    """
    rows = outcome.saturation["eval"][:, pattern(outcome)]
    if not rows.size or not np.isfinite(rows[-1]).any():
        return math.nan
    last = rows[-1]
    return _at_end(last < TAIL_SHARE * np.nanmax(last)) / len(last)


def second_half(outcome: Outcome) -> NDArray[np.intp]:
    """Return the places of the pattern's second half; of an odd number, the middle is in the first.

    Args:
        outcome: Of a training.
    """
    places = pattern(outcome)
    return places[len(places) - len(places) // 2 :]


def late_saturation(outcome: Outcome) -> float:
    """Return the mean saturation of the second half of the layers.

    Args:
        outcome: Of a training.

    Returns:
        In [0, 1].
    """
    rows = outcome.saturation["eval"][:, second_half(outcome)]
    return float(rows[-1].mean()) if rows.size else math.nan


def late_gain(outcome: Outcome) -> float:
    """Return by how much the probes' accuracy rises over the second half of the layers.

    Args:
        outcome: Of a training.

    Returns:
        That of its last layer minus that of the last layer before it, in [−1, 1].
    """
    half = second_half(outcome)
    if not len(half):
        return math.nan
    ends = (int(pattern(outcome)[-len(half) - 1]), int(half[-1]))
    before, after = (outcome.probes.get(outcome.layers[end], math.nan) for end in ends)
    return after - before


def emerged(values: Numbers) -> float:
    """Return the share of a training after which the pattern stays that of the last epoch.

    Args:
        values: (epochs,), the training's `likeness`.

    Returns:
        In (0, 1]; NaN where the last pattern is flat.
    """
    if not len(values) or math.isnan(values[-1]):
        return math.nan
    return _from(values >= ALIKE) / len(values)


def settled(values: Numbers) -> float:
    """Return the epoch from which on a curve stays near its last value.

    Args:
        values: (epochs,).

    Returns:
        From 1 on: the first epoch from which on it stays within a tenth of its range of its last
        value; NaN where it has no range, or is not finite throughout.
    """
    if not len(values) or not np.isfinite(values).all() or np.ptp(values) == 0:
        return math.nan
    return _from(np.abs(values - values[-1]) <= SETTLED * np.ptp(values))


def epochs(outcome: Outcome) -> int:
    """Return how long a training was.

    Args:
        outcome: Of a training.
    """
    return len(outcome.saturation["eval"])


def _at_end(mask: NDArray[np.bool_]) -> int:
    """Count how many at the end hold, without a gap."""
    return len(mask) if mask.all() else int(np.argmin(mask[::-1]))


def _from(mask: NDArray[np.bool_]) -> int:
    """Return from which on all hold, counted from 1."""
    return len(mask) - _at_end(mask) + 1


def _dimension(outcome: Outcome) -> float:
    focus = outcome.focus
    return math.nan if focus is None else last(outcome.intrinsic_dimension["eval"][:, focus])


WIDTH = named("width", lambda outcome: outcome.task.width)
DEPTH = named("number of layers", lambda outcome: float(len(pattern(outcome)) + 1))
CLASSES = named("number of classes", lambda outcome: float(problem_of(outcome).classes))
CLUTTER = named("clutter", lambda outcome: outcome.task.clutter)
SATURATION = Quantity(curve_name, lambda outcome: last(curve(outcome)), of_rows=True)
FIRST_SATURATION = Quantity(
    lambda outcome: f"{curve_name(outcome)} after the first epoch",
    lambda outcome: last(curve(outcome)[:1]),
    of_rows=True,
)
DIMENSION = Quantity(
    lambda outcome: f"intrinsic dimension of {outcome.layers[outcome.focus or 0]}",
    _dimension,
    of_rows=True,
)
ACCURACY = named("test accuracy", lambda outcome: last(metric(outcome, "test_accuracy")))
TAIL = named(
    "share of the layers in the tail, at the end below half of the peak", tail, of_rows=True
)
