"""The monitor: joins capture, spectra, the run on disk and the sinks."""

import os
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self, SupportsFloat, SupportsIndex

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from fathom.capture.capture import Capture
from fathom.capture.description import watched_table
from fathom.capture.hooks import detach
from fathom.capture.masks import Mask, Masks
from fathom.capture.report import LayerReport
from fathom.capture.window import Window
from fathom.errors import ArgumentError, ClosedError, RunBusyError, warn, whole_number
from fathom.settings import Settings
from fathom.sinks.sink import Sink, close_all, write_all
from fathom.snapshot import LayerFacts, Phase, Reading, Readings, Snapshot
from fathom.spectral.moments import Moments
from fathom.spectral.spectrum import Spectrum
from fathom.store.writer import Writer


class Monitor:
    """Gathers the moments of every watched layer; `watch` makes one."""

    def __init__(
        self,
        capture: Capture,
        settings: Settings,
        writer: Writer | None,
        sinks: tuple[Sink, ...],
    ):
        """Join the parts; use `fathom.watch`.

        Args:
            capture: The hooks.
            settings: What was asked for.
            writer: The run, if there is one.
            sinks: Where the numbers go too.
        """
        self.settings = settings
        self._capture = capture
        self._writer = writer
        self._sinks = list(sinks)
        self._last_step = None if writer is None else writer.last_step
        self._process = os.getpid()
        self._closer = weakref.finalize(
            self, _release, self._process, capture.handles, writer, self._sinks
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

        Args:
            step: The step as you count it, after that of the last snapshot.
            **metrics: Your own numbers at this step, such as `loss` and `accuracy`: Python numbers
                or tensors of one element.

        Returns:
            The readings of all layers, with the names of those that were not observed.

        Raises:
            ArgumentError: If the step does not come after the last, or a metric is no number. The
                window is then as it was.
            ClosedError: If the monitor is closed.
        """
        if self.closed:
            raise ClosedError("snapshot: monitor must be open, got a closed one. Watch again.")
        number = self._checked(step)
        numbers = {name: _number(name, value) for name, value in metrics.items()}
        windows = [window for window in self._capture.take() if window.moments is not None]
        phases: dict[Phase, Readings] = {"train": Readings(), "eval": Readings()}
        for window in windows:
            reading = self._read(window)
            if reading is not None:
                phases[window.phase][reading.layer.name] = reading
        observed = {**phases["train"], **phases["eval"]}
        disabled = dict(self._capture.disabled)
        snapshot = Snapshot(
            step=number,
            metrics=numbers,
            train=phases["train"],
            eval=phases["eval"],
            unobserved=tuple(n for n in self.layers if n not in observed and n not in disabled),
            disabled=disabled,
            output_layer=self._capture.output_layer,
        )
        self._last_step = snapshot.step
        # A forked child has copies of the run and the sinks, but they are its parent's.
        if self._process == os.getpid():
            self._record(snapshot, windows)
            write_all(self._sinks, snapshot)
        return snapshot

    def report(self) -> list[LayerReport]:
        """Say of each watched layer what was seen of it since the last snapshot, or why nothing.

        Returns:
            One record a layer, in execution order.
        """
        return self._capture.report()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was gathered since the last snapshot, for the checkpoint of a training.

        Returns:
            Tensors only, so that a checkpoint with them loads with `weights_only=True`.
        """
        return self._capture.state()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on in the middle of a window, as if the training had not been stopped.

        Args:
            state: What `state_dict` returned, of a monitor of the same layers.

        Raises:
            ArgumentError: If it is of other layers, or of no monitor.
            ShapeError: If a layer has another width. Nothing is changed by either.
        """
        self._capture.load(state)

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
        state = "closed" if self.closed else "watching"
        return f"Monitor({state} {len(self.layers)} layers)"

    def __str__(self) -> str:
        """Say what is watched, how, and what memory its moments take."""
        folder = "nothing is recorded" if self._writer is None else f"run {self._writer.folder}"
        layers = [(facts, self._capture.layers[facts.name].rows) for facts in self._capture.facts]
        table, memory = watched_table(layers)
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.settings.chosen().items())
        return f"{table}\n{self!r}: {memory}; {folder}{f'; {chosen}' if chosen else ''}"

    def _checked(self, step: SupportsIndex) -> int:
        number = whole_number(step, where="snapshot: step")
        if self._last_step is not None and number <= self._last_step:
            raise ArgumentError(
                f"snapshot: step must come after {self._last_step}, the last one recorded, got "
                f"{number}. Take one snapshot a step, for both phases together."
            )
        return number

    def _read(self, window: Window) -> Reading | None:
        assert window.moments is not None
        facts = window.layer.facts
        try:
            spectrum = Spectrum.of(
                window.moments,
                with_rankme="rankme" in self.settings.statistics,
                resolution=window.resolution,
            )
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the user's training
            self._capture.disable(facts.name, error)
            return None
        return Reading(
            layer=replace(facts, width=spectrum.width),
            phase=window.phase,
            spectrum=spectrum,
            samples=window.samples,
            calls=window.calls,
            dropped=int(window.moments.dropped),
            threshold=self.settings.threshold,
            padded=int(window.padded),
        )

    def _record(self, snapshot: Snapshot, windows: Iterable[Window]) -> None:
        if self._writer is None:
            return
        observed: dict[str, LayerFacts] = {}
        for readings in (snapshot.train, snapshot.eval):
            observed |= {name: reading.layer for name, reading in readings.items()}
        covariances: dict[tuple[str, str], Moments] = {}
        if self.settings.keep == "covariance":
            for window in windows:
                name = window.layer.facts.name
                if window.moments is not None and name in snapshot.phase(window.phase):
                    covariances[window.phase, name] = window.moments
        try:
            self._writer.append(
                snapshot,
                layers=[observed[name] for name in self.layers if name in observed],
                covariances=covariances,
            )
        except RunBusyError as error:
            warn(
                f"fathom: step {snapshot.step} could not be recorded yet; it is tried again at the "
                f"next snapshot, and at close. {error}"
            )
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the user's training
            self._writer.close()
            self._writer = None
            warn(
                f"fathom: step {snapshot.step} could not be recorded and recording stops; training "
                f"goes on, and snapshots are still returned. {error}"
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


def _release(
    process: int, handles: list[RemovableHandle], writer: Writer | None, sinks: list[Sink]
) -> None:
    detach(handles)
    if process == os.getpid():
        if writer is not None:
            writer.close()
        close_all(sinks)
