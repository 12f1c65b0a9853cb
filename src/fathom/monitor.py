"""The monitor: joins capture, spectra, the run on disk and the sinks."""

import os
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, SupportsFloat, SupportsIndex

from torch import Tensor

from fathom.background import Background
from fathom.capture.attachment import Attachment
from fathom.capture.capture import Capture
from fathom.capture.description import watched_html, watched_table
from fathom.capture.masks import given_masks
from fathom.capture.pause import Pause
from fathom.capture.probing import give
from fathom.capture.report import Reports
from fathom.distributed.agreement import Word, agreed
from fathom.distributed.meeting import processes
from fathom.distributed.merging import Alone, Ranks
from fathom.distributed.place import of_this_place, with_place
from fathom.errors import (
    ArgumentError,
    ClosedError,
    RanksError,
    choose,
    number,
    warn,
    whole_number,
)
from fathom.measurement import Measurement, begun, handed_over, tell_of_lost_ranks
from fathom.reading import PHASES
from fathom.recorder import Recorder
from fathom.settings import Settings
from fathom.snapshot import Snapshot
from fathom.spectral.moments import Moments
from fathom.underway import track


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
        self._background = Background()
        self._measurement: Measurement | None = None
        self._snapshot: Snapshot | None = None
        track(self._background, recorder.folder)
        self._closer = weakref.finalize(
            self,
            _release,
            self._process,
            capture.attachment,
            self._background,
            recorder,
            ranks,
        )

    @property
    def layers(self) -> list[str]:
        """The names of the watched layers, in execution order as far as it is known."""
        return [facts.name for facts in self._capture.facts]

    @property
    def closed(self) -> bool:
        """Whether watching has ended."""
        return not self._closer.alive

    @property
    def last_step(self) -> int | None:
        """The step of the last snapshot, or of the run that is gone on with; None before any."""
        return self._last_step

    def snapshot(self, step: SupportsIndex, **metrics: SupportsFloat) -> Snapshot:
        """Hand over what was seen since the last snapshot, and begin the next window.

        The spectra are computed and recorded in the background while the training goes on, at most
        one window at a time: this waits for the one before. What is touched of the snapshot waits
        until it is computed, `snapshot.wait()` until it is recorded in the run. Each sink gets it
        then, on a thread of its own. What goes wrong there is a warning at the next call.

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
        if self._process != os.getpid():
            # A forked child has its own rows, but neither its parent's place among the ranks nor
            # its threads.
            self._process, self._ranks = os.getpid(), Alone()
            self._background, self._measurement = Background(), None
        with self._ranks.turn():
            self._finish()
            return self._take(step, metrics)

    def _take(self, step: SupportsIndex, metrics: Mapping[str, SupportsFloat]) -> Snapshot:
        probing = self._capture.probing
        try:
            word = Word(
                step=self._checked(step),
                metrics={
                    name: number(value, where=f"snapshot: {name}")
                    for name, value in metrics.items()
                },
                order=self._capture.order,
                disabled=dict(self._capture.disabled),
                unseen=self._capture.unseen(),
                unprobed={} if probing is None else dict(probing.reasons),
            )
        except ArgumentError as error:
            with suppress(RanksError):
                self._ranks.hear(f"{error}")
            raise
        try:
            word = agreed(self._ranks.hear(word))
            self._capture.follow(word.order)
            self._capture.switch_off(word.disabled)
        except RanksError as error:
            tell_of_lost_ranks(error)
            self._go_alone(dict.fromkeys(self.layers, f"RanksError: {error}"))
        measurement = Measurement(
            step=word.step,
            facts=self._capture.facts,
            gathered=handed_over(self._capture.take()),
            disabled=dict(self._capture.disabled),
            unseen=word.unseen,
            unprobed=word.unprobed,
            output_layer=self._capture.output_layer,
            settings=self.settings,
            ranks=self._ranks,
        )
        self._last_step = word.step
        if self._ranks.rank == 0:
            self._recorder.start()
        snapshot = begun(measurement, word.metrics, self._recorder, self._background)
        self._measurement, self._snapshot = measurement, snapshot
        return snapshot

    def _finish(self) -> None:
        """Wait for the window before, and draw the consequences of what came of it."""
        self._background.wait()
        self._recorder.tell()
        measurement, self._measurement = self._measurement, None
        if measurement is None:
            return
        if measurement.lost:
            self._go_alone(measurement.failures)
        else:
            self._capture.switch_off(measurement.failures)

    def _go_alone(self, reasons: Mapping[str, str]) -> None:
        """Stop watching; of the ranks that were lost, the first still records."""
        self._ranks = Alone(self._ranks.rank, self._ranks.size)
        self._capture.switch_off(reasons)

    def moments(self, phase: str = "eval") -> dict[str, Moments]:
        """Return the moments gathered since the last snapshot, as copies on the CPU.

        Of many processes, each has those of its own rows.

        Args:
            phase: `train` or `eval`.

        Returns:
            By layer, in execution order: of those that were called in this phase and are not
            sketched.

        Raises:
            ArgumentError: If there is no such phase.
        """
        choose(phase, PHASES, where="Monitor.moments: phase")
        return self._capture.moments(phase)

    def report(self) -> Reports:
        """Say of each watched layer what was seen of it since the last snapshot, or why nothing.

        Returns:
            One record a layer, in execution order; a list that prints as a table.
        """
        return self._capture.report()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was gathered since the last snapshot, for the checkpoint of a training.

        The last snapshot itself is not part of it, even while it is still computed: the run has it
        once it is done. Wait for it before the checkpoint, if the training may be killed after.

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
        self._capture.mask(given_masks(mask, decoder))

    def labels(self, labels: Tensor | Sequence[int]) -> None:
        """Say the classes of the next batch's samples, for the live probes of `watch(classes=...)`.

        They hold until the end of the model's next call in this thread. Give them in train, from
        which probes learn, and in eval, where they are scored.

        Args:
            labels: (b,) whole numbers from 0 to classes - 1, one a sample; -100 for none.

        Raises:
            ArgumentError: If they are none, or `watch` was not told of classes.
        """
        give(labels, self._capture.probing)

    def pause(self) -> Pause:
        """Record nothing until `resume()`, or until the end of the `with` block.

        Returns:
            A context manager that resumes, for `with monitor.pause(): ...`.
        """
        return Pause(self._capture)

    def resume(self) -> None:
        """Record again."""
        self._capture.active = True

    def close(self) -> None:
        """Take every hook off the model, wait for the last snapshot, and close the run.

        The sinks are waited for too, but not for ever: one that does not end is given up, with a
        warning. A second call does nothing, or goes on where the first was interrupted.
        """
        if self.closed:
            return
        self._capture.attachment.detach()
        self._finish()
        # Not in the closer, which goes on nowhere once it is interrupted.
        self._recorder.close_sinks()
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
        return f"{table}\n{self!r}: {memory}; {place}; {self.settings.in_words()}"

    def _repr_html_(self) -> str:
        """Show the last snapshot, once it is computed, and how far the next one is."""
        last = self._snapshot
        watched = watched_html(self._capture.facts, self.report(), title=repr(self))
        return watched if last is None or not last.done else last._repr_html_() + watched

    def _checked(self, step: SupportsIndex) -> int:
        counted = whole_number(step, where="snapshot: step")
        if self._last_step is not None and counted <= self._last_step:
            raise ArgumentError(
                f"snapshot: step must come after {self._last_step}, the last one recorded, got "
                f"{counted}. Take one snapshot a step, for both phases together."
            )
        return counted

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


def _release(
    process: int,
    attachment: Attachment,
    background: Background,
    recorder: Recorder,
    ranks: Ranks,
) -> None:
    attachment.detach()

    def close() -> None:
        recorder.close()
        if process == os.getpid():
            ranks.leave()

    background.end(close, waits=not recorder.is_in_sink)
