"""One layer in one phase at one step: a frozen record."""

import math
from dataclasses import dataclass
from typing import Literal, Self

from torch import Tensor

from fathom.errors import NotObservedError
from fathom.spectral.gathered import Counts
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


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """How well a linear classifier of a layer's rows did, or why there was none.

    Attributes:
        accuracy: The share of the samples that it classified right, in [0, 1]; nan without any.
        samples: How many it classified.
        reason: Why there is no accuracy, where probes were asked for.
    """

    accuracy: float = math.nan
    samples: int = 0
    reason: str = ""

    @classmethod
    def of(cls, counts: Counts, reason: str) -> Self:
        """Return what was found.

        Args:
            counts: Of one layer and phase, of all ranks.
            reason: Why some rows were not scored.
        """
        accuracy = counts.hits / counts.tries if counts.tries else math.nan
        return cls(accuracy, counts.probed, reason)


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
        probe: Of the live probe, in eval.
    """

    layer: LayerFacts
    phase: Phase
    spectrum: Spectrum
    samples: int
    calls: int
    dropped: int
    threshold: float
    padded: int = 0
    probe: ProbeScore = ProbeScore()

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

    @property
    def probe_accuracy(self) -> float:
        """The share of the samples that the live probe classified right; nan where it had none."""
        return self.probe.accuracy

    @property
    def probe_samples(self) -> int:
        """How many samples the live probe classified."""
        return self.probe.samples

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
            f"{f', probe {self.probe_accuracy:.3f}' if self.probe_samples else ''}"
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
