"""What the leading eigenvalues of a sketch still say: bounds, and the statistics that these settle.

Each leading eigenvalue is at most the true one, so their sums bound true sums from below. What the
sketch left out is itself positive, of known trace and of a norm that is estimated, which bounds
true sums from above: k of its eigenvalues add up to its trace at most, and to √k of its norm.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fathom.spectral.table import SPECTRAL_STATISTICS
from fathom.spectral.vectors import FLOAT32_EPS, as_array, check_threshold

# The estimate was at most 1.02 times too small, at 256 to 1,024 columns of 2,048 and 4,096.
_SAFETY = 1.1

# A flat tail of 1% answered 738 for 490, where the bounds were 200 and 738. Of those within a
# quarter of each other, on spectra of powers, exponentials and steps, none was off by over 7%.
_APART = 1.25

# Where it was less of the first eigenvalue, that one was at most 0.1% too small and the sum of all
# squares 0.3%; at a tenth, 0.5% and 4%.
_SMALL = 0.05

# float32 products are good to about 1e-6 of the whole.
_ROUNDING = 8 * FLOAT32_EPS


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is known of a covariance beside its leading eigenvalues.

    Attributes:
        width: d, the number of all its eigenvalues.
        total: Its trace, in squared activation units.
        norm: The Frobenius norm of what the leading part leaves out, in squared units; estimated.
    """

    width: int
    total: float
    norm: float

    def captured(self, leading: Tensor) -> float:
        """Return the share of the total variance that leading eigenvalues carry.

        Args:
            leading: (l,), descending.

        Returns:
            Dimensionless, in [0, 1]; 1.0 of no variance.
        """
        return min(1.0, float(leading.sum()) / self.total) if self.total > 0 else 1.0

    def at_least(self, leading: Tensor, *, threshold: float) -> int:
        """Return a lower bound of the intrinsic dimension, which may lie beyond l.

        Args:
            leading: (l,), descending.
            threshold: Fraction of the total variance, in (0, 1].

        Returns:
            A count of directions, in 0..d.

        Raises:
            ArgumentError: If `threshold` is outside (0, 1].
        """
        check_threshold(threshold, where="at_least")
        if not self.total > 0:
            return 0
        shares = as_array(leading) / self.total
        carried = np.full(self.width, shares.sum())
        carried[: len(shares)] = np.cumsum(shares)
        beyond = _SAFETY * self.norm / self.total * np.sqrt(np.arange(1, self.width + 1))
        bounds = carried + np.minimum(beyond, max(1 - carried[-1], 0))
        reached = threshold * (1 - _ROUNDING)
        return min(int(np.count_nonzero(bounds < reached)) + 1, self.width)

    def intrinsic_dimension(self, leading: Tensor, *, threshold: float) -> float:
        """Return the intrinsic dimension, where the leading part settles it.

        Args:
            leading: (l,), descending.
            threshold: Fraction of the total variance, in (0, 1].

        Returns:
            How many leading eigenvalues reach the threshold: the true count or slightly more; nan
            where they do not, or where that is more than 1.25 times the lower bound.
        """
        least = self.at_least(leading, threshold=threshold)
        if least == 0:
            return 0
        carried = np.cumsum(as_array(leading)) / self.total
        most = int(np.count_nonzero(carried < threshold * (1 - _ROUNDING))) + 1
        return most if most <= len(carried) and most <= _APART * least else float("nan")

    def statistics(self, leading: Tensor, *, threshold: float) -> dict[str, float]:
        """Return every statistic of eigenvalues, nan where the leading part does not tell it.

        Args:
            leading: (l,), descending.
            threshold: Fraction of the total variance, in (0, 1].

        Returns:
            By name. Stable rank and participation ratio are too large by what the eigenvalues are
            too small, below 1%, and are there only where little is left out.
        """
        numbers = dict.fromkeys(SPECTRAL_STATISTICS, float("nan"))
        dimension = self.intrinsic_dimension(leading, threshold=threshold)
        numbers["intrinsic_dimension"] = dimension
        numbers["saturation"] = dimension / self.width
        numbers["total_variance"] = numbers["diagonal_trace"] = self.total
        if not self.total > 0:
            return numbers | {"stable_rank": 0.0, "participation_ratio": 0.0}
        # Over the total first, so that squares stay in range.
        shares = as_array(leading) / self.total
        if self.norm / self.total <= _SMALL * shares[0]:
            numbers["stable_rank"] = float(1 / shares[0])
            numbers["participation_ratio"] = float(1 / np.square(shares).sum())
        return numbers
