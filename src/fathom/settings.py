"""What a monitor was asked to do: one frozen record, checked when it is made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

from fathom.errors import ArgumentError, choose
from fathom.spectral.gathered import WIDEST_MATRIX
from fathom.spectral.table import check_statistic
from fathom.spectral.vectors import check_threshold

CONV_METHODS = ("positions", "mean", "max", "median", "flatten")
TIMESTEPS = ("all", "last")
KEEP = ("spectrum", "covariance")
RANKS = ("all", "own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How rows are taken from outputs, which of them count, and what is kept.

    Attributes:
        conv: How a convolution's output becomes rows, one of `CONV_METHODS`.
        timesteps: Which steps of a recurrent layer are rows, one of `TIMESTEPS`.
        downsample: Feature maps larger than this many positions a side are reduced to it first.
        threshold: Fraction of the total variance that counts as all, in (0, 1].
        budget: The share of a layer's own training arithmetic that watching it may take, in
            (0, 1]; None for every row, as is 1.
        every: Observe every k-th step of each phase.
        max_samples: Stop a layer's window at so many samples.
        max_width: Wider layers are sketched: see `Sketch`.
        statistics: Statistics to measure that eigenvalues alone do not give: `rankme`.
        keep: What the run keeps of a reading, one of `KEEP`.
        ranks: Whose rows count where many processes train, one of `RANKS`.
        classes: How many classes the labels of live probes have; None for no probes.
    """

    conv: str = "positions"
    timesteps: str = "all"
    downsample: int | None = None
    threshold: float = 0.99
    budget: float | None = 0.02
    every: int = 1
    max_samples: int | None = None
    max_width: int = 4096
    statistics: tuple[str, ...] = ()
    keep: str = "spectrum"
    ranks: str = "all"
    classes: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is outside its rule, with `watch` named as the place.

        Raises:
            ArgumentError: If an attribute is outside its rule.
        """
        choose(self.conv, CONV_METHODS, where="watch: conv")
        choose(self.timesteps, TIMESTEPS, where="watch: timesteps")
        choose(self.keep, KEEP, where="watch: keep")
        choose(self.ranks, RANKS, where="watch: ranks")
        check_threshold(self.threshold, where="watch")
        for name in self.statistics:
            check_statistic(name, where="watch: statistics")
        _check_count("every", self.every, fix="Pass 1 for every step.")
        _check_count("max_width", self.max_width, fix="Pass 4096, the default.")
        if self.classes is not None:
            _check_count("classes", self.classes, fix="Pass the number of classes, such as 10.")
            if self.classes == 1:
                raise ArgumentError(
                    "watch: classes must be at least 2, got 1. Pass the number of classes."
                )
        if self.max_width > WIDEST_MATRIX:
            raise ArgumentError(
                f"watch: max_width must be at most {WIDEST_MATRIX:,}, where a matrix takes 2 GiB, "
                f"got {self.max_width:,}. Wider layers are sketched."
            )
        for name, value in (("downsample", self.downsample), ("max_samples", self.max_samples)):
            if value is not None:
                _check_count(name, value, fix="Pass an int such as 10_000, or None for no limit.")
        if self.budget is not None and (
            not isinstance(self.budget, Real)
            or isinstance(self.budget, bool)
            or not 0 < self.budget <= 1
        ):
            raise ArgumentError(
                f"watch: budget must be in (0, 1] or None, got {self.budget!r}. Pass 0.02 for 2 "
                "percent of the training's own arithmetic, or None for every row."
            )

    def in_words(self) -> str:
        """Say which rows are read, and the other settings that are not the defaults."""
        defaults = asdict(Settings())
        chosen = {name: each for name, each in asdict(self).items() if each != defaults[name]}
        chosen.pop("budget", None)
        read = "every row"
        if self.budget is not None and self.budget < 1:
            read = f"an even sample of the rows within budget={self.budget:g}"
        return ", ".join([read, *(f"{name}={each!r}" for name, each in chosen.items())])

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as they are written into a run."""
        plain = {k: int(v) if isinstance(v, Integral) else v for k, v in asdict(self).items()}
        return {
            **plain,
            "statistics": list(self.statistics),
            "threshold": float(self.threshold),
        }


def names_of(statistics: Sequence[str] | str) -> tuple[str, ...]:
    """Return the `statistics` argument as a tuple; one name alone is a list of one.

    Args:
        statistics: What the user passed.
    """
    return (statistics,) if isinstance(statistics, str) else tuple(statistics)


def _check_count(name: str, value: object, *, fix: str) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"watch: {name} must be a whole number >= 1, got {value!r}. {fix}")
