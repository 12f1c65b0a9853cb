"""Statistics over trainings, each with its 95% interval: rank correlations, means and slopes.

Every training is taken as a draw of its own, from its own seed. What cannot be told is NaN: no
number raises or warns here.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fathom.extras import require

CONFIDENCE = 0.95
"""Of every interval."""

ROUNDED = 1 / math.sqrt(12)
"""The standard deviation that rounding to whole numbers gives, in their unit."""

_TAIL = (1 + CONFIDENCE) / 2
_UNKNOWN = math.nan


class Estimate(NamedTuple):
    """A number with its interval.

    Attributes:
        value: NaN where it is not defined.
        low: The interval's lower end; NaN where there are too few numbers for one.
        high: Its upper end.
    """

    value: float = _UNKNOWN
    low: float = _UNKNOWN
    high: float = _UNKNOWN


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, strata: Sequence[Hashable] | None = None
) -> Estimate:
    """Return Spearman's ρ within strata.

    Ranks are taken within each stratum (ties share their mean) and centred there; ρ is Pearson's
    correlation of all of these. With one stratum that is Spearman's ρ itself. The interval is
    Fisher's, tanh(artanh ρ ± 1.96 s), s² = (1 + ρ²/2)/(m − 3) as Bonett and Wright have it, with
    m = n − strata + 1, as every stratum but one costs a mean.

    In a perfect order artanh is infinite. There, and wherever |ρ| is above it, 1 − 1/S takes the
    place of |ρ| in the interval's formula, with S the sum of the squares of x's centred ranks: it
    is what is left of 1 when two neighbours change places. The interval reaches to ρ itself.

    Over 1,500 draws each of normal numbers it held the truth in 94% to 99% for |ρ| below 0.6, and
    in 86% to 91% for 0.8 to 0.93 in strata of five: there it is somewhat too short.

    Args:
        x: (n,), finite.
        y: (n,), finite.
        strata: (n,), which numbers are compared with each other; None for all.

    Returns:
        In [−1, 1]; NaN where either is the same throughout every stratum.

    References:
        Bonett and Wright 2000, Sample size requirements for estimating Pearson, Kendall and
        Spearman correlations.

    Example:
        >>> found = rank_correlation([1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 6, 5])
        >>> print(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
        0.886 [0.066, 0.992]
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    labels = [0] * len(first) if strata is None else list(strata)
    a, b = _ranks(first, labels), _ranks(second, labels)
    squares = float(a @ a)
    scale = math.sqrt(squares * float(b @ b))
    if scale == 0:
        return Estimate()
    value = min(1.0, max(-1.0, float(a @ b) / scale))
    free = len(a) - len(set(labels)) + 1 - 3
    if free <= 0:
        return Estimate(value)
    inner = math.copysign(min(abs(value), 1 - 1 / squares), value)
    reach = NormalDist().inv_cdf(_TAIL) * math.sqrt((1 + inner**2 / 2) / free)
    low, high = (math.tanh(math.atanh(inner) + each) for each in (-reach, reach))
    return Estimate(value, min(low, value), max(high, value))


def mean(values: ArrayLike, *, resolution: float = 0.0) -> Estimate:
    """Return the mean, with Student's interval.

    Args:
        values: (n,), finite.
        resolution: The standard deviation that rounding alone gives the values: theirs is taken as
            at least that, so that a few whole numbers that are alike are not taken as exact.

    Returns:
        In the unit of the values; no interval where they are all the same.

    Example:
        >>> found = mean([1.0, 2.0, 3.0, 4.0])
        >>> print(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
        2.500 [0.446, 4.554]
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        return Estimate()
    value = float(numbers.mean())
    if len(numbers) < 2:
        return Estimate(value)
    spread = float(numbers.std(ddof=1)) if np.ptp(numbers) > 0 else 0.0
    error = max(spread, resolution) / math.sqrt(len(numbers))
    return _student(value, error, len(numbers) - 1)


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope by least squares.

    Attributes:
        value: In units of y to one of x; NaN where x does not vary.
        error: Its standard error.
        free: Its degrees of freedom, n − 2.
    """

    value: float = _UNKNOWN
    error: float = _UNKNOWN
    free: int = 0

    @property
    def estimate(self) -> Estimate:
        """The slope with Student's interval; there is none where all points lie on the line."""
        return _student(self.value, self.error, self.free)


def slope(x: ArrayLike, y: ArrayLike, *, resolution: float = 0.0) -> Slope:
    """Return the slope of y over x by ordinary least squares.

    Args:
        x: (n,), finite.
        y: (n,), finite.
        resolution: The standard deviation that rounding alone gives y: that of what is left of it
            beside the line is taken as at least that, so that a few alike are not taken as exact.

    Returns:
        With its error; NaN with fewer than 3 points, or where x is the same throughout.

    Example:
        >>> found = slope([0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 1.0, 3.0])
        >>> print(f"{found.value:.2f} ± {found.error:.2f}")
        0.80 ± 0.42
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    free = len(first) - 2
    if free < 1 or np.ptp(first) == 0:
        return Slope()
    a = first - first.mean()
    # What is the same throughout may still differ from its mean by rounding.
    b = second - second.mean() if np.ptp(second) > 0 else np.zeros(len(second))
    squares = float(a @ a)
    value = float(a @ b) / squares
    rest = b - value * a
    spread = max(math.sqrt(float(rest @ rest) / free), resolution)
    return Slope(value, spread / math.sqrt(squares), free)


def slope_difference(first: Slope, second: Slope) -> Estimate:
    """Return the first slope minus the second, with Welch's interval.

    Args:
        first: Of some points.
        second: Of others.

    Returns:
        In units of y to one of x; NaN where either slope is.
    """
    value = first.value - second.value
    if not math.isfinite(value):
        return Estimate()
    squares = first.error**2, second.error**2
    if not any(squares):
        return Estimate(value)
    parts = squares[0] ** 2 / first.free + squares[1] ** 2 / second.free
    return _student(value, math.sqrt(sum(squares)), sum(squares) ** 2 / parts)


def _ranks(values: NDArray[np.float64], labels: Sequence[Hashable]) -> NDArray[np.float64]:
    """Rank within the strata, and centre there: of n ranks the mean is always (n + 1)/2."""
    rankdata = require("scipy.stats", extra="experiments").rankdata
    places: dict[Hashable, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    ranks = np.zeros(len(values))
    for chosen in places.values():
        ranks[chosen] = rankdata(values[chosen]) - (len(chosen) + 1) / 2
    return ranks


def _student(value: float, error: float, free: float) -> Estimate:
    if not (free > 0 and error > 0):
        return Estimate(value)
    reach = float(require("scipy.stats", extra="experiments").t.ppf(_TAIL, free)) * error
    return Estimate(value, value - reach, value + reach)
