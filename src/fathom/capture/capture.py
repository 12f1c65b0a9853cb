"""What the watched layers of a model have shown since the last snapshot."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fathom.capture.attachment import Attachment
from fathom.capture.current import Current
from fathom.capture.hooks import (
    BeginHook,
    EndHook,
    FirstCallHook,
    LayerHook,
    PartBeginHook,
    PartEndHook,
)
from fathom.capture.layers import Layer, known_layers, parts_with_masks
from fathom.capture.masks import Call, Mask, Masks, argument_names, told_of_misfit
from fathom.capture.modes import is_real, is_recomputing, is_transformed, unseen_by_modes
from fathom.capture.modules import modules_by_name
from fathom.capture.probing import Probing
from fathom.capture.report import Reports, described, report_of, unseen
from fathom.capture.sampling import Sampler
from fathom.capture.sharded import refuse_part, tensor_parallel
from fathom.capture.state import State, state_of, windows_of
from fathom.capture.window import Window
from fathom.errors import ArgumentError, warn
from fathom.reading import AVERAGED_KINDS, PHASES, LayerFacts, Phase
from fathom.settings import Settings
from fathom.spectral.moments import Moments


class Capture:
    """The hooks on one model, and what they have gathered since the last snapshot."""

    def __init__(self, model: nn.Module, layers: Iterable[Layer], settings: Settings):
        """Attach to every layer.

        Args:
            model: The root, whose `training` flag tells the phase.
            layers: The layers to watch.
            settings: How they are read.
        """
        self.layers = {layer.facts.name: layer for layer in layers}
        self.disabled: dict[str, str] = {}
        self.active = True
        self.aside = False
        self._model = model
        self._settings = settings
        # A signal handler may take a snapshot while its own thread is in `_observe`.
        self._lock = threading.RLock()
        self._adding: Window | None = None
        with torch.inference_mode(False):
            self._token = torch.zeros((), device="cpu")
        self.attachment = Attachment(model, self._token)
        self._call = Call()
        self._told_of_mask = False
        # Several threads may call the root at once, as nn.DataParallel does.
        self.current = Current()
        self._missed: dict[str, None] = {}
        self._averaged = {f.name for f in known_layers(model) if f.kind in AVERAGED_KINDS}
        self._averaged |= {n for n, w in self.layers.items() if w.facts.kind in AVERAGED_KINDS}
        # Told now: during a call `fully_shard` has taken its own part of the spreading away.
        self._parallel = tensor_parallel(self.layers, modules_by_name(model))
        self._order: dict[str, None] = {}
        self._windows: dict[tuple[str, Phase], Window] = {}
        self._widths: dict[str, int] = {}
        self._steps: dict[Phase, int] = dict.fromkeys(PHASES, 0)
        self._taken = 0
        self.probing = None if settings.classes is None else Probing(settings.classes)
        try:
            self._attach()
        except BaseException:
            self.attachment.detach()
            raise

    @property
    def facts(self) -> list[LayerFacts]:
        """The watched layers, in execution order and with widths as far as these are known."""
        rank = {name: position for position, name in enumerate(self.order)}
        names = sorted(self.layers, key=lambda name: rank.get(name, len(rank)))
        return [
            replace(facts, width=self._widths.get(facts.name, facts.width))
            for facts in (self.layers[name].facts for name in names)
        ]

    @property
    def output_layer(self) -> str | None:
        """The model's last linear or convolutional layer in execution order, once it was called."""
        return next((name for name in reversed(self.order) if name in self._averaged), None)

    @property
    def order(self) -> list[str]:
        """The layers that were called, in the order of their first calls."""
        return list(self._order)

    def take(self) -> list[Window]:
        """Return the windows, and begin new ones."""
        with self._lock:
            taken = [each for each in self._windows.values() if each is not self._adding]
            # A window that is being added to just now stays, for the next snapshot.
            self._windows = {k: w for k, w in self._windows.items() if w is self._adding}
            self._steps = dict.fromkeys(PHASES, 0)
            self._taken += 1
            self._missed.clear()
            if self.probing is not None:
                self.probing.taken(taken)
        return taken

    @property
    def settings(self) -> Settings:
        """How the layers are read."""
        return self._settings

    def moments(self, phase: str) -> dict[str, Moments]:
        """Return the moments gathered since the last snapshot, of layers that are not sketched.

        Args:
            phase: `train` or `eval`.

        Returns:
            Copies, on the CPU, by layer in execution order.
        """
        with self._lock:
            found = {
                name: window.moments.to("cpu")
                for (name, of_phase), window in self._windows.items()
                # One that is being added to, below a signal handler, is not whole.
                if of_phase == phase and window is not self._adding
                if isinstance(window.moments, Moments)
            }
        return {facts.name: found[facts.name] for facts in self.facts if facts.name in found}

    def report(self) -> Reports:
        """Return what was seen of each layer since the last snapshot, in execution order."""
        windows, modules = self._windows_by_name(), modules_by_name(self._model)
        return Reports(
            report_of(facts, windows[facts.name], self.disabled, self._missed, modules)
            for facts in self.facts
        )

    def unseen(self) -> dict[str, str]:
        """Return why nothing was seen of some layers since the last snapshot, by name."""
        windows, modules = self._windows_by_name(), modules_by_name(self._model)
        found = {
            facts.name: unseen(facts, windows[facts.name], self._missed, modules)
            for facts in self.facts
            if facts.name not in self.disabled
        }
        return {name: ": ".join(missed) for name, missed in found.items() if missed}

    def state(self) -> State:
        """Return what was gathered since the last snapshot, as tensors."""
        with self._lock:
            state = state_of(self._windows.values())
            numbers = {f"steps/{phase}": count for phase, count in self._steps.items()}
            numbers |= {f"order/{name}": place for place, name in enumerate(self._order)}
            numbers["taken/windows"] = self._taken
        tensors = {key: torch.tensor(number, device="cpu") for key, number in numbers.items()}
        return tensors | {f"windows/{key}": each for key, each in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state, in place of what was gathered here.

        Args:
            state: What `state` returned.

        Raises:
            ArgumentError: If it is of other layers, or of no capture.
            ShapeError: If a layer has another width.
        """
        inside: dict[str, State] = {"steps": {}, "order": {}, "taken": {}, "windows": {}}
        for key, tensor in state.items():
            group, _, rest = key.partition("/")
            if group not in inside:
                raise ArgumentError(
                    f"load_state_dict: state must be of a monitor, got the entry {key!r}. "
                    "Pass what Monitor.state_dict() returned."
                )
            inside[group][rest] = tensor
        if not inside["steps"]:
            raise ArgumentError(
                "load_state_dict: state must be of a monitor, got one without its steps. "
                "Pass what Monitor.state_dict() returned."
            )
        taken = int(inside["taken"].get("windows", 0))
        windows = windows_of(inside["windows"], self.layers, partial(self._sampler, taken))
        with self._lock:
            self._taken = taken
            self._windows = {(each.layer.facts.name, each.phase): each for each in windows}
            self._steps = {phase: int(inside["steps"].get(phase, 0)) for phase in PHASES}
            if self.probing is not None:
                self.probing.loaded(windows)
            places = sorted(inside["order"], key=lambda name: int(inside["order"][name]))
            self._order = dict.fromkeys([*places, *self._order])

    def mask(self, masks: Masks) -> None:
        """Use these masks instead of the root's own, until the end of its next call.

        Args:
            masks: The real positions.
        """
        self._call.given = masks

    def began(self, masks: Masks) -> None:
        """Note that a call of the root begins.

        Args:
            masks: Among its arguments.
        """
        if not is_recomputing():
            self.current.masks = masks
            self.current.missed = None if self.active and not self.aside else {}

    def stepped(self) -> None:
        """Count a call of the root, and decide whether it is observed."""
        if self.active and not self.aside and not is_recomputing() and not is_transformed():
            with self._lock:
                phase = self._phase
                observing = self._steps[phase] % self._settings.every == 0
                self._steps[phase] += 1
                self.current.observing = observing
                self.current.missed = None if observing else self._missed

    def ended(self) -> None:
        """Note that a call of the root ends."""
        if not is_recomputing():
            current = self.current
            missed, current.missed = current.missed, None
            current.masks, current.observing = Masks(), None
            if self.aside:
                return
            for name in missed or ():
                self._order.setdefault(name)
            if self.probing is not None:
                self.probing.forget()

    def called(self, name: str) -> None:
        """Note the place in the execution order of a layer that is not watched.

        Args:
            name: The layer.
        """
        missed = self.current.missed
        (self._order if missed is None else missed).setdefault(name)

    def observed(self, layer: Layer, output: object) -> None:
        """Add a call of a layer to its window; never raise.

        Args:
            layer: The layer.
            output: What it returned.
        """
        self._observe(layer, output, None, compiled=False)

    def observed_compiled(self, layer: Layer, output: Tensor, mask: Mask | None) -> None:
        """Add a call of a layer in a compiled graph to its window; never raise.

        Args:
            layer: The layer.
            output: The part of what it returned that is read.
            mask: Of its sequence.
        """
        self._observe(layer, output, mask, compiled=True)

    def _observe(self, layer: Layer, output: Any, mask: Mask | None, *, compiled: bool) -> None:
        name = layer.facts.name
        if self.aside:
            return
        if not self.active or is_recomputing() or is_transformed():
            self._order.setdefault(name)
            return
        with self._lock:
            phase: Phase = "train" if self._model.training else "eval"
            window = self._windows.get((name, phase))
            if window is None:
                self._order.setdefault(name)
                if name in self.disabled:
                    return
                sampler = self._sampler(self._taken, name, phase)
                window = self._windows[name, phase] = Window(layer, phase, sampler=sampler)
            # A snapshot in a signal handler leaves this window for the next one.
            self._adding = window
            try:
                if self._settings.every > 1 and not self._is_on_step(window):
                    window.skipped += 1
                    self._missed[name] = None
                elif window.sampler is not None and not window.sampler.reads():
                    window.skipped += 1
                else:
                    self._read(window, output, mask, compiled=compiled)
            finally:
                self._adding = None

    def _is_on_step(self, window: Window) -> bool:
        """Tell whether a call belongs to a step that `every` observes.

        Returns:
            So for calls of the root; where the layer is called without it, for its own.
        """
        observing = self.current.observing
        if observing is None:
            return (window.calls + window.skipped) % self._settings.every == 0
        return observing

    def _read(self, window: Window, output: Any, mask: Mask | None, *, compiled: bool) -> None:
        layer, name = window.layer, window.layer.facts.name
        try:
            if not compiled:
                masks = self._call.given
                mask = (self.current.masks if masks is None else masks).of(layer.side)
            # Selective checkpointing would take what is computed here for the model's own.
            with unseen_by_modes(), torch.no_grad():
                tensor = output if compiled else layer.pick(output)
                refuse_part(tensor, name, self._parallel)
                if is_real(tensor):
                    if mask is not None and not self._told_of_mask:
                        self._told_of_mask = told_of_misfit(mask, tensor, layer.facts)
                    real = None if mask is None else mask.real()
                    window.add(tensor, real, self._settings, self.probing)
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
            self.disable(name, f"{type(error).__name__}: {error}", output)
        except BaseException:
            # Interrupted half-way, with Ctrl-C: these moments are wrong and go.
            self._windows.pop((name, window.phase), None)
            if self.probing is not None:
                self.probing.drop(window)
            raise
        if window.moments is not None:
            self._widths[name] = window.moments.width

    def _sampler(
        self, window: int, name: str, phase: Phase, numbers: Sequence[int] = ()
    ) -> Sampler | None:
        """Return what samples the rows of a layer within the budget; None where all are read.

        All ranks draw alike, so that none of them waits for another that reads more.
        """
        budget = self._settings.budget
        if budget is None or budget >= 1:
            return None
        seed = f"{window}/{phase}/{name}"
        return Sampler.of(seed, budget, numbers) if numbers else Sampler(seed, budget)

    def follow(self, order: Iterable[str]) -> None:
        """Take over the execution order that all ranks found together.

        Args:
            order: Names of layers.
        """
        self._order = dict.fromkeys([*order, *self._order])

    def switch_off(self, reasons: Mapping[str, str]) -> None:
        """Stop reading layers.

        Args:
            reasons: Why, by name.
        """
        with self._lock:
            self.disabled |= reasons
            for name in reasons:
                for phase in PHASES:
                    self._windows.pop((name, phase), None)

    def disable(self, name: str, reason: str, output: object = None) -> None:
        """Stop reading a layer, with one warning.

        Args:
            name: The layer.
            reason: Why.
            output: What it returned, where that was the trouble.
        """
        self.switch_off({name: reason})
        came = ""
        if output is not None:
            came = f" Its output was {described(output)}."
        warn(
            f"fathom: layer {name} can no longer be read and is switched off; training goes on."
            f"{came} {reason}"
        )

    def _windows_by_name(self) -> dict[str, list[Window]]:
        with self._lock:
            found: dict[str, list[Window]] = {name: [] for name in self.layers}
            for (name, _), window in self._windows.items():
                found[name].append(window)
        return found

    @property
    def _phase(self) -> Phase:
        return "train" if self._model.training else "eval"

    def _attach(self) -> None:
        root, call, attachment = self._model, self._call, self.attachment
        # Who holds labels has to hear of the end of each call, in compiled models too.
        counts = self._settings.every > 1 or self.probing is not None
        begin = BeginHook(self, self._token, call, argument_names(root), counts=counts)
        attachment.before(root, begin)
        for part, side in parts_with_masks(root):
            start = PartBeginHook(self, self._token, call, argument_names(part), side=side)
            attachment.before(part, start)
            attachment.after(part, PartEndHook(self, self._token, call, start), always=True)
        for layer in self.layers.values():
            attachment.after(layer.module, LayerHook(self, self._token, call, layer))
        # Which layer is the output layer shows only when all that could be it have been called.
        modules = modules_by_name(root)
        for name in self._averaged - self.layers.keys():
            first = FirstCallHook(self, self._token, name)
            first.handle = attachment.after(modules[name], first)
        attachment.after(root, EndHook(self, self._token, call, counts=counts), always=True)
