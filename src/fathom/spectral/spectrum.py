"""The spectrum of a layer's covariance, and what it was measured from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fathom.errors import ArgumentError
from fathom.spectral.moments import Moments
from fathom.spectral.nystrom import leading
from fathom.spectral.remainder import Remainder
from fathom.spectral.sketch import Sketch
from fathom.spectral.statistics import idle_features, rankme
from fathom.spectral.table import SPECTRAL_STATISTICS, Statistics

# Intrinsic dimension found over the true one, flat spectrum of width 256: 0.93 at 2 rows per
# width, 0.99 at 10, 0.992 at 20.
PROVISIONAL_BELOW = 10
SETTLED_FROM = 20

# A hundredth of the last percent of the variance. In bf16 at means of 10 times the spread, 5e-4,
# 41 directions were found for 31.
_COARSE_ABOVE = 1e-4


@dataclass(frozen=True, eq=False, slots=True)
class Spectrum:
    """Descending eigenvalues of a covariance, clipped at 0.

    Attributes:
        eigenvalues: (d,) float64 on the CPU, in squared activation units; of a sketch the (l,)
            leading ones, none above the true one. Their ratios to the largest are rounded to
            float32, which is what a run keeps: live and from disk, every number is the same to the
            bit.
        rows: n, the rows behind the covariance; where they have weights, as many of the largest as
            count for as much.
        measured: Statistics that eigenvalues alone cannot give (`idle_features`, and `rankme`
            where it was asked for), by name.
        rounding: The share of the total variance that may be the rounding of the activations' own
            type, in bf16 say, where their mean is far above their spread.
        remainder: Of a sketch, what is known beside its eigenvalues; else None.
    """

    eigenvalues: Tensor
    rows: int
    measured: Mapping[str, float] = field(default_factory=dict)
    rounding: float = 0.0
    remainder: Remainder | None = None

    @classmethod
    def of(
        cls, moments: Moments | Sketch, *, with_rankme: bool = False, resolution: float = 0.0
    ) -> Self:
        """Decompose the covariance of some moments.

        Args:
            moments: Of n rows of d features, or a sketch of them.
            with_rankme: Measure RankMe too, which takes a second decomposition; nan of a sketch.
            resolution: The relative step from one number to the next in the type of the rows.

        Returns:
            The spectrum, on the CPU.
        """
        rows = moments.rows
        # A number is off by up to half a step either way, evenly: a variance of step² / 12.
        noise = float((resolution * moments.mean).square().sum()) / 12
        if isinstance(moments, Sketch):
            return cls._of_sketch(moments, with_rankme=with_rankme, noise=noise)
        # Rows that count for less than others are still rows.
        read = int(moments.read)
        covariance = moments.covariance()
        measured = {"idle_features": idle_features(covariance.diagonal(), mean=moments.mean)}
        if with_rankme:
            measured["rankme"] = second_moment_rankme(covariance, moments.mean, rows=read)
        # n rows leave n - 1 directions about their own mean.
        eigenvalues = _eigenvalues(covariance, rank=read - 1)
        total = float(eigenvalues.sum())
        return cls(eigenvalues, rows, measured, rounding=noise / total if total > 0 else 0.0)

    @classmethod
    def _of_sketch(cls, sketch: Sketch, *, with_rankme: bool, noise: float) -> Self:
        found = leading(sketch)
        count = int(sketch.count)
        variances = sketch.squares / max(count, 1)
        measured = {"idle_features": idle_features(variances, mean=sketch.mean)}
        if with_rankme:
            measured["rankme"] = float("nan")
        found.eigenvalues[max(int(sketch.read) - 1, 0) :] = 0
        return cls(
            rounded(found.eigenvalues),
            sketch.rows,
            measured,
            rounding=noise / found.total if found.total > 0 else 0.0,
            remainder=Remainder(sketch.width, found.total, found.residual),
        )

    @property
    def width(self) -> int:
        """d, the number of features."""
        return self.eigenvalues.shape[0] if self.remainder is None else self.remainder.width

    @property
    def sketched(self) -> bool:
        """Whether this is of a sketch: the leading eigenvalues, and the exact total variance."""
        return self.remainder is not None

    @property
    def captured(self) -> float:
        """The share of the total variance that the eigenvalues carry; below 1 of a sketch alone."""
        return 1.0 if self.remainder is None else self.remainder.captured(self.eigenvalues)

    @property
    def rows_per_width(self) -> float:
        """Rows over width, n / d: how far the numbers can be trusted."""
        return self.rows / self.width

    @property
    def status(self) -> str:
        """How far to trust the intrinsic dimension.

        `provisional` below 10 rows per width, where it is too low, `settled` from 20 on, `settling`
        between; `coarse` where it is too high, as it counts the rounding of the activations.
        """
        if self.rounding > _COARSE_ABOVE:
            return "coarse"
        if self.rows_per_width < PROVISIONAL_BELOW:
            return "provisional"
        return "settled" if self.rows_per_width >= SETTLED_FROM else "settling"

    def statistics(self, threshold: float = 0.99) -> Statistics:
        """Return every statistic of this spectrum, computed when asked for.

        Args:
            threshold: Fraction of the total variance, in (0, 1].

        Returns:
            Name to number; all nan where there are no rows, and of a sketch those that it does not
            settle: see `Remainder.statistics`.
        """
        measured = self.measured
        if self.remainder is not None:
            found = self.remainder.statistics(self.eigenvalues, threshold=threshold)
            measured = {**measured, **found}
        if self.rows == 0:
            measured = dict.fromkeys((*SPECTRAL_STATISTICS, *measured), float("nan"))
        return Statistics(self.eigenvalues, threshold, measured)

    def at_least(self, threshold: float = 0.99) -> float:
        """Return a lower bound of the intrinsic dimension: itself, but where a sketch is behind.

        Args:
            threshold: Fraction of the total variance, in (0, 1].

        Returns:
            A count of directions, in 0..d; nan where there are no rows.
        """
        if self.remainder is None or self.rows == 0:
            return self.statistics(threshold)["intrinsic_dimension"]
        return self.remainder.at_least(self.eigenvalues, threshold=threshold)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Give the eigenvalues to NumPy, and so to every function of eigenvalues.

        Returns:
            (d,).

        Raises:
            ArgumentError: If a sketch is behind: such a function would take some for all.
        """
        if self.remainder is not None:
            raise ArgumentError(
                f"Spectrum: eigenvalues must be all {self.width:,}, got the "
                f"{len(self.eigenvalues)} leading ones of a sketch. Take its statistics(threshold)."
            )
        return np.array(self.eigenvalues.numpy(), dtype=dtype)


def second_moment_rankme(covariance: Tensor, mean: Tensor, *, rows: int) -> float:
    """Return RankMe from a covariance and a mean, by decomposing their second moment.

    Args:
        covariance: (d, d) with divisor n, in squared activation units.
        mean: (d,), in activation units.
        rows: n, the rows behind them.

    Returns:
        A count of directions, in [1, d]; 0.0 for a spectrum of zeros.

    References:
        Garrido et al. 2023, "RankMe".
    """
    return rankme(_eigenvalues(torch.addr(covariance, mean, mean), rank=rows))


def rounded(eigenvalues: Tensor) -> Tensor:
    """Round the ratios of eigenvalues to the largest to float32; doing it twice changes nothing.

    Args:
        eigenvalues: (d,) float64, descending, >= 0.

    Returns:
        (d,) float64. The ratios, not the values, so that no scale over- or underflows.
    """
    largest = eigenvalues[0]
    return (eigenvalues / largest).float().double() * largest if largest > 0 else eigenvalues


def _eigenvalues(matrix: Tensor, *, rank: int) -> Tensor:
    """Return the eigenvalues of a positive semi-definite matrix of at most this rank."""
    return cleaned(torch.linalg.eigvalsh(matrix).cpu().flip(0), rank=rank)


def cleaned(values: Tensor, *, rank: int) -> Tensor:
    """Put the rounding of a decomposition to 0.

    Args:
        values: (d,) float64, descending, of a positive semi-definite matrix; they change.
        rank: The most that the matrix can have.

    Returns:
        (d,), descending, >= 0.
    """
    largest = values[0].clone()
    # What lies below the rounding of the decomposition is 0, as is what lies past the rank.
    values[values <= largest * len(values) * torch.finfo(values.dtype).eps] = 0
    values[max(rank, 0) :] = 0
    return rounded(values)
