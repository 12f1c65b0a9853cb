"""All readings of one step: a frozen record, which may still be on its way."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol, Self

from fathom.errors import choose
from fathom.listing import html_listing, is_beyond, layer_rows
from fathom.reading import AVERAGED_KINDS, PHASES, Phase, Readings
from fathom.spectral.spectrum import PROVISIONAL_BELOW


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
        """Wait until the spectra are computed and recorded in the run; sinks get them after.

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

    @property
    def usual_phase(self) -> Phase:
        """The phase that is shown unasked: eval, but where only train was observed."""
        return "eval" if self.eval or not self.train else "train"

    def notes(self, phase: str = "eval") -> list[str]:
        """Return what stands below the table of a phase: the average, and what to be told of.

        Args:
            phase: `train` or `eval`.

        Returns:
            Lines of text.

        Raises:
            ArgumentError: If there is no such phase.
        """
        readings = self.phase(phase)
        lines = [self._average_in_words(phase)] if readings else []
        if self.metrics:
            numbers = (f"{name} {value:.4g}" for name, value in self.metrics.items())
            lines.append("  ".join(numbers))
        statuses = {reading.status for reading in readings.values()}
        lines += [text for status, text in _ADVICE.items() if status in statuses]
        if beyond := [row for row in layer_rows(readings) if is_beyond(row)]:
            names = ", ".join(f"{row['layer']} ({row['captured']:.1%} captured)" for row in beyond)
            lines.append(f"sketched: {names}: the dimension is not known, > is a lower bound")
        unprobed = {name: reading.probe.reason for name, reading in readings.items()}
        lines += [f"no probe: {names}: {why}" for why, names in by_reason(unprobed) if why]
        for name, reading in readings.items():
            if reading.dropped:
                lines.append(f"{name}: {reading.dropped} rows with NaN or infinity were left out")
        if padded := max((reading.padded for reading in readings.values()), default=0):
            lines.append(f"padding left out: up to {padded:,} rows a layer")
        reasons = {name: self.reasons.get(name, "") for name in self.unobserved}
        for reason, names in by_reason(reasons):
            lines.append(f"not observed: {names}{f' ({reason})' if reason else ''}")
        lines += [f"switched off: {names}: {why}" for why, names in by_reason(self.disabled)]
        return lines

    def _average_in_words(self, phase: str) -> str:
        average = self.average_saturation(phase)
        if not math.isfinite(average):
            return "no average saturation: no linear or convolutional layer but the output layer"
        there = self.phase(phase)
        counted = [
            name
            for name, reading in there.items()
            if reading.layer.kind in AVERAGED_KINDS
            and name != self.output_layer
            and not math.isnan(reading.saturation)
        ]
        others = "linear and convolutional ones"
        if self.output_layer in there:
            others += f" without the output layer {self.output_layer}"
        aside = f", over {len(counted)} of {len(there)} layers: the {others}"
        return f"average saturation {average:.3f}{aside if len(counted) < len(there) else ''}"

    def _repr_html_(self) -> str:
        """Show the layers as tables with bars, in a notebook; waits until they are computed."""
        phases = [phase for phase in PHASES if self.phase(phase)] or [self.usual_phase]
        return "".join(
            html_listing(
                self.phase(phase), title=f"step {self.step}, {phase}", notes=self.notes(phase)
            )
            for phase in reversed(phases)
        )

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


_ADVICE = {
    "provisional": (
        f"provisional: fewer than {PROVISIONAL_BELOW} rows per width, so the dimension is too "
        "low; show the layer more samples between snapshots, or read more of them with a larger "
        "budget"
    ),
    "coarse": (
        "coarse: the activations' type is too coarse for their mean, so the dimension is too high; "
        "watch in float32"
    ),
}


def by_reason(reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each reason once, with the layers that it holds for.

    Args:
        reasons: Layer to reason.

    Returns:
        Reason and names, these as one text.
    """
    return [
        (reason, ", ".join(name or "(model)" for name, why in reasons.items() if why == reason))
        for reason in dict.fromkeys(reasons.values())
    ]
