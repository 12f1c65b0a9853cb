"""The monitor: joins capture, spectra, the run on disk and the sinks."""

import os
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self, SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from fathom.capture.attachment import Attachment
from fathom.capture.capture import Capture
from fathom.capture.description import watched_table
from fathom.capture.masks import Mask, Masks
from fathom.capture.report import LayerReport
from fathom.distributed.agreement import Word, agreed
from fathom.distributed.meeting import processes
from fathom.distributed.merging import Alone, Merged, Ranks
from fathom.distributed.place import of_this_place, with_place
from fathom.errors import ArgumentError, ClosedError, RanksError, warn, whole_number
from fathom.recorder import Recorder
from fathom.settings import Settings
from fathom.snapshot import PHASES, Reading, Readings, Snapshot


class Monitor:
    """Gathers the moments of every watched layer; `watch` makes one."""

    def __init__(
        self,
        capture: Capture,
        settings: Settings,
        recorder: Recorder,
        ranks: Ranks,
        *,
        last_step: int | None = None,
    ):
        """Join the parts; use `fathom.watch`.

        Args:
            capture: The hooks.
            settings: What was asked for.
            recorder: Where snapshots go.
            ranks: All processes that train this model, or this one alone.
            last_step: The last step of the run that is gone on with.
        """
        self.settings = settings
        self._capture = capture
        self._recorder = recorder
        self._ranks = ranks
        self._last_step = last_step
        self._process = os.getpid()
        self._told_of_others = False
        self._closer = weakref.finalize(
            self, _release, self._process, capture.attachment, recorder, ranks
        )

    @property
    def layers(self) -> list[str]:
        """The names of the watched layers, in execution order as far as it is known."""
        return [facts.name for facts in self._capture.facts]

    @property
    def closed(self) -> bool:
        """Whether watching has ended."""
        return not self._closer.alive

    def snapshot(self, step: SupportsIndex, **metrics: SupportsFloat) -> Snapshot:
        """Compute and record what was seen since the last snapshot, and begin the next window.

        Where many processes train the model, each calls this: the rows of all of them count, every
        one returns the same snapshot, with the metrics of rank 0, and rank 0 records it.

        Args:
            step: The step as you count it, after that of the last snapshot.
            **metrics: Your own numbers at this step, such as `loss` and `accuracy`: Python numbers
                or tensors of one element.

        Returns:
            The readings of all layers, with the names of those that were not observed.

        Raises:
            ArgumentError: If the step does not come after the last, or is another on another rank,
                or a metric is no number. The window is then as it was.
            ClosedError: If the monitor is closed.
        """
        if self.closed:
            raise ClosedError("snapshot: monitor must be open, got a closed one. Watch again.")
        self._tell_of_others()
        # A forked child has its own rows, but not its parent's place among the ranks.
        ranks = self._ranks if self._process == os.getpid() else Alone()
        with ranks.turn():
            return self._take(ranks, step, metrics)

    def _take(
        self, ranks: Ranks, step: SupportsIndex, metrics: Mapping[str, SupportsFloat]
    ) -> Snapshot:
        try:
            word = Word(
                step=self._checked(step),
                metrics={name: _number(name, value) for name, value in metrics.items()},
                order=self._capture.order,
                disabled=dict(self._capture.disabled),
                unseen=self._capture.unseen(),
            )
        except ArgumentError as error:
            with suppress(RanksError):
                ranks.hear(f"{error}")
            raise
        merged = Merged()
        try:
            word = agreed(ranks.hear(word))
            self._capture.follow(word.order)
            self._capture.switch_off(word.disabled)
            merged = ranks.merge(
                {(each.layer.facts.name, each.phase): each for each in self._capture.take()},
                with_rankme="rankme" in self.settings.statistics,
                keep=self.settings.keep == "covariance",
            )
        except RanksError as error:
            self._give_up(error)
        for name, reason in merged.failures.items():
            if ranks.rank == 0:
                self._capture.disable(name, reason)
        self._capture.switch_off(merged.failures)
        snapshot = self._snapshot(word, merged)
        self._last_step = snapshot.step
        if ranks.rank == 0:
            self._recorder.record(snapshot, self.layers, merged.moments)
        return snapshot

    def report(self) -> list[LayerReport]:
        """Say of each watched layer what was seen of it since the last snapshot, or why nothing.

        Returns:
            One record a layer, in execution order.
        """
        return self._capture.report()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was gathered since the last snapshot, for the checkpoint of a training.

        Of many processes, each has its own rows: save it on every rank.

        Returns:
            Tensors only, so that a checkpoint with them loads with `weights_only=True`.
        """
        return with_place(self._capture.state(), self._ranks)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on in the middle of a window, as if the training had not been stopped.

        Args:
            state: What `state_dict` returned, of a monitor of the same layers on the same rank.

        Raises:
            ArgumentError: If it is of other layers or another rank, or of no monitor.
            ShapeError: If a layer has another width. Nothing is changed by either.
        """
        self._capture.load(of_this_place(state, self._ranks))

    def mask(self, mask: Tensor, *, decoder: Tensor | None = None) -> None:
        """Say which positions of the next batch are real, where the model is not told so itself.

        A model's own `attention_mask`, `decoder_attention_mask` or `key_padding_mask` arguments are
        used unasked. The mask holds until the end of the model's next call.

        Args:
            mask: (b, t), 1 or True at real positions; of the encoder, where there are two sides.
            decoder: (b, t) of the decoder.

        Raises:
            ArgumentError: If a mask has not two dimensions.
        """
        for name, given in (("mask", mask), ("decoder", decoder)):
            if given is None and name == "decoder":
                continue
            if not isinstance(given, Tensor) or given.ndim != 2:
                came = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise ArgumentError(
                    f"Monitor.mask: {name} must be a tensor of shape (b, t), got {came}. "
                    "Pass one truth value a token."
                )
        self._capture.mask(
            Masks(Mask(mask, False), None if decoder is None else Mask(decoder, False))
        )

    def pause(self) -> "_Pause":
        """Record nothing until `resume()`, or until the end of the `with` block.

        Returns:
            A context manager that resumes, for `with monitor.pause(): ...`.
        """
        pause = _Pause(self, was_active=self._capture.active)
        self._capture.active = False
        return pause

    def resume(self) -> None:
        """Record again."""
        self._capture.active = True

    def close(self) -> None:
        """Take every hook off the model and close the run; a second call does nothing."""
        self._closer()

    def __enter__(self) -> Self:
        """Watch inside a `with` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close at the end of the block, after an exception too."""
        self.close()

    def __repr__(self) -> str:
        """Say in a line what is watched."""
        lost = self.layers and all(name in self._capture.disabled for name in self.layers)
        state = "closed" if self.closed else "switched off, all" if lost else "watching"
        return f"Monitor({state} {len(self.layers)} layers)"

    def __str__(self) -> str:
        """Say what is watched, how, and what memory its moments take."""
        folder = self._recorder.folder
        place = "nothing is recorded" if folder is None else f"run {folder}"
        if self._ranks.rank > 0:
            place = "rank 0 records"
        if self._ranks.size > 1:
            place = f"rank {self._ranks.rank} of {self._ranks.size}; {place}"
        layers = [(facts, self._capture.layers[facts.name].rows) for facts in self._capture.facts]
        table, memory = watched_table(layers, max_width=self.settings.max_width)
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.settings.chosen().items())
        return f"{table}\n{self!r}: {memory}; {place}{f'; {chosen}' if chosen else ''}"

    def _checked(self, step: SupportsIndex) -> int:
        number = whole_number(step, where="snapshot: step")
        if self._last_step is not None and number <= self._last_step:
            raise ArgumentError(
                f"snapshot: step must come after {self._last_step}, the last one recorded, got "
                f"{number}. Take one snapshot a step, for both phases together."
            )
        return number

    def _snapshot(self, word: Word, merged: Merged) -> Snapshot:
        phases: dict[str, Readings] = {phase: Readings() for phase in PHASES}
        disabled = dict(self._capture.disabled)
        for facts in self._capture.facts:
            for phase in PHASES:
                key = facts.name, phase
                if key in merged.spectra and facts.name not in disabled:
                    spectrum = merged.spectra[key]
                    phases[phase][facts.name] = Reading(
                        layer=replace(facts, width=spectrum.width),
                        phase=phase,
                        spectrum=spectrum,
                        threshold=self.settings.threshold,
                        **merged.counts[key]._asdict(),
                    )
        seen = {*phases["train"], *phases["eval"], *disabled}
        unobserved = tuple(name for name in self.layers if name not in seen)
        return Snapshot(
            step=word.step,
            metrics=word.metrics,
            train=phases["train"],
            eval=phases["eval"],
            unobserved=unobserved,
            disabled=disabled,
            output_layer=self._capture.output_layer,
            # One that was called but gave nothing to read, such as a tensor without numbers.
            reasons={name: word.unseen.get(name, "no numbers") for name in unobserved},
        )

    def _give_up(self, error: RanksError) -> None:
        """Stop watching, as numbers of some ranks would look like those of all."""
        self._ranks = Alone(self._ranks.rank, self._ranks.size)
        self._capture.switch_off(dict.fromkeys(self.layers, f"RanksError: {error}"))
        warn(
            "fathom: the ranks can no longer share what they see, so watching stops here; the "
            f"training goes on. {error}"
        )

    def _tell_of_others(self) -> None:
        """Say once that other processes came after `watch`, whose rows do not count."""
        if self.settings.ranks == "all" and self._ranks.size == 1 and not self._told_of_others:
            others = processes() - 1
            if others:
                self._told_of_others = True
                warn(
                    f"fathom: {others} more processes train since init_process_group, and their "
                    "rows do not count. Call watch after it, or watch each process alone, with "
                    'ranks="own".'
                )


class _Pause:
    """Ends a pause when its `with` block ends."""

    def __init__(self, monitor: Monitor, *, was_active: bool):
        self._monitor = monitor
        self._was_active = was_active

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        if self._was_active:
            self._monitor.resume()


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, str | bytes):
            raise TypeError("it is text")
        return float(value.detach() if isinstance(value, torch.Tensor) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ArgumentError(
            f"snapshot: {name} must be a number or a tensor of one element, got {value!r}. "
            "Pass a number; reduce a tensor first, such as with .mean()."
        ) from error


def _release(process: int, attachment: Attachment, recorder: Recorder, ranks: Ranks) -> None:
    attachment.detach()
    recorder.close()
    if process == os.getpid():
        ranks.leave()
