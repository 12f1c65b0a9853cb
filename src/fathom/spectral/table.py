"""The table of statistics by name, and the numbers of one spectrum read through it."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from torch import Tensor

from fathom.errors import choose
from fathom.spectral import statistics

SPECTRAL_STATISTICS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            statistics.saturation,
            statistics.intrinsic_dimension,
            statistics.effective_rank,
            statistics.participation_ratio,
            statistics.stable_rank,
            statistics.total_variance,
            statistics.diagonal_trace,
            statistics.log_determinant,
            statistics.determinant,
            statistics.power_law_exponent,
            statistics.condition_number,
        )
    }
)
"""Every statistic of covariance eigenvalues alone, as a function of them."""

STATISTICS: tuple[str, ...] = (*SPECTRAL_STATISTICS, "idle_features", "rankme")
"""Every name that a reading can answer to. RankMe is measured only where it was asked for."""

_WITH_THRESHOLD = frozenset({"saturation", "intrinsic_dimension"})


class Statistics(Mapping[str, float]):
    """The statistics of one spectrum by name, each computed when it is first asked for."""

    def __init__(self, eigenvalues: Tensor, threshold: float, measured: Mapping[str, float]):
        """Take what the numbers are made from.

        Args:
            eigenvalues: (d,), in squared activation units.
            threshold: Fraction of the total variance, for the statistics that take one.
            measured: Numbers that are known already, by name; `idle_features` and `rankme`, which
                eigenvalues alone cannot give, are there only where they are among them.
        """
        self._eigenvalues = eigenvalues
        self._threshold = threshold
        self._numbers = dict(measured)
        self._names = tuple(n for n in STATISTICS if n in SPECTRAL_STATISTICS or n in measured)

    def __getitem__(self, name: str) -> float:
        """Return one statistic.

        Args:
            name: One of `STATISTICS`.

        Returns:
            The number, in the units of its function.

        Raises:
            KeyError: If there is no such name, or it was not measured; with the names there are.
        """
        if name not in self._names:
            raise KeyError(
                f"statistics: name must be one of {', '.join(self._names)}, got {name!r}."
            )
        if name not in self._numbers:
            function = SPECTRAL_STATISTICS[name]
            options = {"threshold": self._threshold} if name in _WITH_THRESHOLD else {}
            self._numbers[name] = function(self._eigenvalues, **options)
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._names)

    def __repr__(self) -> str:
        """Show all numbers, as a dict does."""
        return repr(dict(self))


def check_statistic(name: str, *, where: str) -> None:
    """Refuse a name that no statistic has.

    Args:
        name: What came.
        where: The function and argument, for the message.

    Raises:
        ArgumentError: If `name` is not in `STATISTICS`.
    """
    choose(name, STATISTICS, where=where)
