"""From the moments of one window to a recorded snapshot, without the training's own thread."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fathom.background import Background, Work
from fathom.capture.window import Window
from fathom.distributed.merging import Key, Merged, Ranks
from fathom.errors import RanksError, warn
from fathom.reading import PHASES, LayerFacts, ProbeScore, Reading, Readings
from fathom.recorder import Recorder
from fathom.settings import Settings
from fathom.snapshot import Measured, Snapshot
from fathom.spectral.gathered import Gathered


@dataclass(slots=True)
class Measurement:
    """What the readings of one window are made from; nothing of it belongs to the model.

    Attributes:
        step: As the user counts.
        facts: The watched layers, in execution order.
        gathered: What this process has, by layer and phase; used up by `measure`.
        disabled: Layers that could not be read, with the reason.
        unseen: Why nothing was seen of other layers.
        unprobed: Why rows of some layers in eval were not scored by a probe.
        output_layer: As in `Snapshot`.
        settings: How the layers are measured.
        ranks: With whom the moments are merged.
        failures: Layers that have turned out to have no spectrum, with the reason.
        lost: Whether the other ranks can no longer be reached.
    """

    step: int
    facts: list[LayerFacts]
    gathered: dict[Key, Gathered]
    disabled: dict[str, str]
    unseen: Mapping[str, str]
    output_layer: str | None
    settings: Settings
    ranks: Ranks
    unprobed: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    _merged: Merged = field(default_factory=Merged)

    def measure(self) -> Measured:
        """Merge the moments with those of the other ranks, and decompose them; never raise.

        Returns:
            The readings, with the names of the layers that have none.
        """
        try:
            self._merged = self.ranks.merge(
                self.gathered,
                with_rankme="rankme" in self.settings.statistics,
                keep=self.settings.keep == "covariance",
            )
            self.failures = self._merged.failures
            if self.ranks.rank == 0:
                self._tell_of_failures()
        except RanksError as error:
            self.lost = True
            self.failures = self._everything(error)
            tell_of_lost_ranks(error)
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the user's training
            self.disabled |= self._everything(error)
            warn(
                f"fathom: step {self.step} could not be measured and has no readings; the training "
                f"goes on. {type(error).__name__}: {error}"
            )
        self.gathered = {}
        self.disabled |= self.failures
        return self._measured()

    def record(self, snapshot: Snapshot, recorder: Recorder) -> None:
        """Write the snapshot everywhere, if this is the process that records.

        Args:
            snapshot: With what `measure` returned.
            recorder: Where it goes.
        """
        if self.ranks.rank == 0:
            recorder.record(snapshot, [each.name for each in self.facts], self._merged.moments)
        self._merged = Merged()

    def _measured(self) -> Measured:
        phases: dict[str, Readings] = {phase: Readings() for phase in PHASES}
        for facts in self.facts:
            for phase in PHASES:
                key = facts.name, phase
                if key in self._merged.spectra and facts.name not in self.disabled:
                    spectrum, counts = self._merged.spectra[key], self._merged.counts[key]
                    unprobed = "" if phase == "train" else self.unprobed.get(facts.name, "")
                    phases[phase][facts.name] = Reading(
                        layer=replace(facts, width=spectrum.width),
                        phase=phase,
                        spectrum=spectrum,
                        threshold=self.settings.threshold,
                        samples=counts.samples,
                        calls=counts.calls,
                        dropped=counts.dropped,
                        padded=counts.padded,
                        probe=ProbeScore.of(counts, "" if counts.probed else unprobed),
                    )
        seen = {*phases["train"], *phases["eval"], *self.disabled}
        unobserved = tuple(each.name for each in self.facts if each.name not in seen)
        return Measured(
            train=phases["train"],
            eval=phases["eval"],
            unobserved=unobserved,
            disabled=self.disabled,
            output_layer=self.output_layer,
            # One that was called but gave nothing to read, such as a tensor without numbers.
            reasons={name: self.unseen.get(name, "no numbers") for name in unobserved},
        )

    def _tell_of_failures(self) -> None:
        for name, reason in self.failures.items():
            warn(
                f"fathom: layer {name} has no spectrum and is switched off; training goes on. "
                f"{reason}"
            )

    def _everything(self, error: Exception) -> dict[str, str]:
        reason = f"{type(error).__name__}: {error}"
        return {each.name: reason for each in self.facts}


def begun(
    measurement: Measurement,
    metrics: Mapping[str, float],
    recorder: Recorder,
    background: Background,
) -> Snapshot:
    """Return the snapshot of a window that from now on is measured and recorded.

    Args:
        measurement: Of the window.
        metrics: The user's numbers.
        recorder: Where the snapshot goes.
        background: Where all of it is done.
    """
    work = Work(measurement.measure, lambda: measurement.record(snapshot, recorder))
    snapshot = Snapshot.under_way(measurement.step, metrics, work)
    background.begin(work)
    return snapshot


def handed_over(windows: Iterable[Window]) -> dict[Key, Gathered]:
    """Return what was gathered in some windows without their layers, on the CPU.

    Another thread that used a GPU would need the training's streams, and break the recording of a
    CUDA graph; and decompositions on the CPU leave the GPU to the training.

    Args:
        windows: They are not added to any more.
    """
    gathered = {}
    for each in windows:
        moments = each.moments
        if moments is not None and moments.mean.device.type != "cpu":
            try:
                moments = moments.to("cpu")
            except RuntimeError as error:
                warn(
                    f"fathom: layer {each.layer.facts.name} could not be brought to the CPU and is "
                    f"left out of this snapshot; training goes on. {error}"
                )
                continue
        gathered[each.layer.facts.name, str(each.phase)] = Gathered(
            moments=moments,
            resolution=each.resolution,
            samples=each.samples,
            calls=each.calls,
            padded=int(each.padded),
            hits=None if each.hits is None else each.hits.cpu(),
        )
    return gathered


def tell_of_lost_ranks(error: RanksError) -> None:
    """Warn that watching stops, as numbers of some ranks would look like those of all.

    Args:
        error: Why they cannot be reached.
    """
    warn(
        "fathom: the ranks can no longer share what they see, so watching stops here; the "
        f"training goes on. {error}"
    )
