"""Frozen records of what was measured; all that is downstream consumes these."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from torch import Tensor

from fathom.errors import NotObservedError, choose
from fathom.spectral.spectrum import Spectrum
from fathom.spectral.table import Statistics

Phase = Literal["train", "eval"]
PHASES: tuple[Phase, Phase] = ("train", "eval")

AVERAGED_KINDS = ("linear", "convolution")
"""The kinds of layers over which the average saturation is defined."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is known of a watched layer.

    Attributes:
        name: Its qualified name in the model; the first, where the module has several.
        kind: `linear`, `convolution`, `recurrent`, `attention`, `embedding`, `normalisation` or
            `other`.
        module: The class of the module.
        width: d, the size of its representation; None until it is known.
        aliases: The other names of the same module.
    """

    name: str
    kind: str
    module: str
    width: int | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Reading:
    """One layer in one phase at one step.

    Attributes:
        layer: The layer.
        phase: `train` or `eval`.
        spectrum: The eigenvalues of its covariance, and the number of rows behind them.
        samples: Independent items (images, sequences) behind the rows that were read. Rows of one
            image are correlated, so rows alone say too much.
        calls: Calls of the layer that were read.
        dropped: Rows left out because they held a NaN or an infinity.
        padded: Rows left out because they are padding.
        threshold: Fraction of the variance that intrinsic dimension and saturation stand for.
    """

    layer: LayerFacts
    phase: Phase
    spectrum: Spectrum
    samples: int
    calls: int
    dropped: int
    threshold: float
    padded: int = 0

    @property
    def eigenvalues(self) -> Tensor:
        """(d,) float64, descending, in squared units; of a sketch the (l,) leading ones."""
        return self.spectrum.eigenvalues

    @property
    def statistics(self) -> Statistics:
        """Every statistic by name; nan where no row counted, or a sketch does not tell it."""
        return self.spectrum.statistics(self.threshold)

    @property
    def saturation(self) -> float:
        """The intrinsic dimension over the width, in [0, 1]; nan where that is."""
        return self.statistics["saturation"]

    @property
    def intrinsic_dimension(self) -> float:
        """How many directions carry `threshold` of the variance.

        nan where no row counted, or where it lies beyond what a sketch captured: see `at_least`.
        """
        return self.statistics["intrinsic_dimension"]

    @property
    def at_least(self) -> float:
        """A lower bound of the intrinsic dimension; itself, but where a sketch is behind."""
        return self.spectrum.at_least(self.threshold)

    @property
    def sketched(self) -> bool:
        """Whether the layer is too wide for its covariance, and a sketch stands for it."""
        return self.spectrum.sketched

    @property
    def captured(self) -> float:
        """The share of the total variance that the eigenvalues carry; below 1 of a sketch alone."""
        return self.spectrum.captured

    @property
    def width(self) -> int:
        """d, the size of the representation."""
        return self.spectrum.width

    @property
    def rows(self) -> int:
        """n, the rows that counted; of those with less than full weight a share."""
        return self.spectrum.rows

    @property
    def rows_per_width(self) -> float:
        """Rows over width, n / d: from few rows the intrinsic dimension is too low."""
        return self.spectrum.rows_per_width

    @property
    def status(self) -> str:
        """`provisional`, `settling`, `settled` or `coarse`, as `Spectrum.status` says."""
        return self.spectrum.status

    def __repr__(self) -> str:
        """Say the main numbers in a line."""
        dimension: object = self.intrinsic_dimension
        if self.sketched and self.rows and math.isnan(self.intrinsic_dimension):
            dimension = f"> {self.at_least - 1}"
        return (
            f"Reading({self.layer.name}, {self.phase}: intrinsic dimension "
            f"{dimension} of {self.width}, saturation {self.saturation:.3f}, "
            f"{self.rows_per_width:.1f} rows per width, {self.status}"
            f"{f', sketched, {self.captured:.1%} captured' if self.sketched else ''}"
            f"{f', {self.dropped} rows dropped' if self.dropped else ''})"
        )


class Readings(dict[str, Reading]):
    """The readings of one phase by layer, in execution order."""

    def __missing__(self, name: str) -> Reading:
        """Say which layers there are.

        Raises:
            NotObservedError: Always.
        """
        there = (
            ", ".join(name or "(model)" for name in self)
            or "none; was the model called in this phase?"
        )
        raise NotObservedError(
            f"Snapshot: layer must be one that was observed in this phase, got {name!r}. "
            f"There are: {there}"
        )


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """What a snapshot says of the layers; its attributes are those of `Snapshot`."""

    train: Readings = field(default_factory=Readings)
    eval: Readings = field(default_factory=Readings)
    unobserved: tuple[str, ...] = ()
    disabled: Mapping[str, str] = field(default_factory=dict)
    output_layer: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


class Pending(Protocol):
    """Something measured that may still be on its way."""

    @property
    def computed(self) -> bool:
        """Whether it can be had without waiting."""

    @property
    def done(self) -> bool:
        """Whether it is computed and recorded."""

    def measured(self) -> Measured:
        """Wait until it is computed, and return it.

        Raises:
            ClosedError: If it never will be, as in a forked child.
        """

    def wait(self, timeout: float | None) -> None:
        """Wait until it is recorded too.

        Args:
            timeout: Seconds; None for as long as it takes.

        Raises:
            TimeoutError: If it takes longer.
            ClosedError: If it never will be, as in a forked child.
        """


class _Awaited:
    """Has a place for what is pending that is no field, so that copies go without."""

    __slots__ = ("_pending",)
    _pending: Pending | None


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Snapshot(_Awaited):
    """All readings of one step, with the user's own metrics.

    `Monitor.snapshot` returns it while its spectra are still computed in the background: `step` and
    `metrics` are there at once, everything else waits when it is touched. A copy, a pickled one
    too, and one that is read from a run or made by hand have nothing to wait for.

    Attributes:
        step: The step, as the user counts.
        metrics: The user's numbers at this step, by name.
        train: Readings of the train phase by layer, in execution order.
        eval: Readings of the eval phase by layer, in execution order.
        unobserved: Layers that were asked for and not called since the last snapshot.
        disabled: Layers that could not be read, with the reason.
        output_layer: The model's last linear or convolutional layer in execution order, which the
            average leaves out; None where it is not known.
        reasons: Why nothing was seen, of each of `unobserved`.
    """

    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    train: Readings = field(default_factory=Readings)
    eval: Readings = field(default_factory=Readings)
    unobserved: tuple[str, ...] = ()
    disabled: Mapping[str, str] = field(default_factory=dict)
    output_layer: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have everything from the beginning."""
        object.__setattr__(self, "_pending", None)

    @classmethod
    def under_way(cls, step: int, metrics: Mapping[str, float], pending: Pending) -> Self:
        """Return a snapshot whose other attributes come when they are touched.

        Args:
            step: The step, as the user counts.
            metrics: The user's numbers.
            pending: Has the rest, sooner or later.
        """
        snapshot = cls.__new__(cls)
        for name, value in (("step", step), ("metrics", metrics), ("_pending", pending)):
            object.__setattr__(snapshot, name, value)
        return snapshot

    if not TYPE_CHECKING:  # with it, every name would be an attribute

        def __getattr__(self, name: str) -> Any:
            """Return an attribute that has not come yet, an empty slot, once it is there."""
            if name not in _MEASURED:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            measured = self._pending.measured()
            for each in _MEASURED:
                object.__setattr__(self, each, getattr(measured, each))
            return getattr(measured, name)

    @property
    def done(self) -> bool:
        """Whether the spectra are computed and recorded; what is done, a killed process keeps."""
        return self._pending is None or self._pending.done

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until the spectra are computed and recorded.

        Args:
            timeout: Seconds to wait at most; None for as long as it takes.

        Returns:
            The snapshot itself, so that `monitor.snapshot(step).wait()` is as if nothing were done
            in the background.

        Raises:
            TimeoutError: If it takes longer; the background goes on.
            ClosedError: In a forked child, where nobody computes what its parent had begun.
        """
        if self._pending is not None:
            self._pending.wait(timeout)
        return self

    def phase(self, phase: str) -> Readings:
        """Return the readings of one phase.

        Args:
            phase: `train` or `eval`.

        Returns:
            Layer name to reading, in execution order.

        Raises:
            ArgumentError: If there is no such phase.
        """
        choose(phase, PHASES, where="Snapshot.phase: phase")
        return self.train if phase == "train" else self.eval

    def average_saturation(self, phase: str = "eval") -> float:
        """Return the mean saturation of the watched layers, without the model's output layer.

        Args:
            phase: `train` or `eval`.

        Returns:
            Dimensionless, in [0, 1], over the linear and convolutional layers whose saturation is
            known: not those without rows, or whose sketch does not tell it. nan where there is
            none.

        Raises:
            ArgumentError: If there is no such phase.

        References:
            Shenk et al. 2019, "Spectral Analysis of Latent Representations", equation 2.
        """
        saturations = [
            reading.saturation
            for name, reading in self.phase(phase).items()
            if reading.layer.kind in AVERAGED_KINDS and name != self.output_layer
        ]
        counted = [each for each in saturations if not math.isnan(each)]
        return fmean(counted) if counted else float("nan")

    def __repr__(self) -> str:
        """Say in a line what is inside, or that it is being computed: that does not wait."""
        parts = [f"step={self.step}"]
        computed = self._pending is None or self._pending.computed
        for phase in PHASES if computed else ():
            if readings := self.phase(phase):
                average = self.average_saturation(phase)
                parts.append(f"{phase}: {len(readings)} layers, average saturation {average:.3f}")
                if dropped := sum(reading.dropped for reading in readings.values()):
                    parts.append(f"{dropped} rows with NaN or infinity dropped")
        parts += [f"{name}={value:g}" for name, value in self.metrics.items()]
        if not computed:
            parts.append("computing")
        elif self.unobserved:
            parts.append(f"unobserved: {', '.join(self.unobserved)}")
        return f"Snapshot({'; '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle what is measured; a thread cannot go along."""
        return type(self), (self.step, self.metrics, *(getattr(self, name) for name in _MEASURED))


_MEASURED = tuple(each.name for each in fields(Measured))
