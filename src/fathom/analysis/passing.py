"""One pass of data through a frozen model: the features of every layer, beside the labels."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from fathom.analysis.batches import Unpack, batches, call, class_numbers
from fathom.analysis.features import Features, features_of
from fathom.analysis.outputs import frozen, outputs_of
from fathom.analysis.randomness import same_randomness
from fathom.capture.layers import Layer
from fathom.capture.modules import unwrapped
from fathom.capture.probing import IGNORED
from fathom.capture.rows import main_output
from fathom.errors import ArgumentError, ShapeError

_NEVER, _SOME = "never called", "called in some batches only"


class Seen(NamedTuple):
    """What one batch showed.

    Attributes:
        labels: (b,) class numbers.
        features: By layer, in the order in which the layers were called.
        right: How many samples the model's own largest output tells the class of; None where its
            output is not (b, classes).
    """

    labels: NDArray[np.int64]
    features: Mapping[str, Features]
    right: int | None


class Pass:
    """Goes through data, and knows which layers cannot be read and why."""

    def __init__(self, model: nn.Module, layers: Sequence[Layer], unpack: Unpack | None):
        """Say what to read.

        Args:
            model: The root, wrapped or not.
            layers: Some of its layers.
            unpack: As of `batches`.
        """
        self._model = unwrapped(model)
        self._layers = {layer.facts.name: layer for layer in layers}
        self._unpack = unpack
        self._widths: dict[str, int] = {}
        self._found: dict[str, Features] = {}
        self._samples = 0
        self.left_out: dict[str, str] = {}
        """Layers that cannot be probed, with the reason."""

    @property
    def names(self) -> list[str]:
        """The layers that can still be probed, in the order in which they were called."""
        return [name for name in self._widths if name not in self.left_out]

    def through(self, data: Any, *, where: str) -> Iterator[Seen]:
        """Go through data once, with the model in eval mode, and leave all as it was.

        Args:
            data: As `batches` takes it, with labels.
            where: The function and argument, for messages.

        Yields:
            A batch at a time.

        Raises:
            ArgumentError: If there are no samples, or labels are missing or no class numbers.
        """
        samples = 0
        first = not self._widths
        with ExitStack() as undo:
            undo.enter_context(same_randomness(data))
            undo.enter_context(frozen(self._model))
            undo.enter_context(outputs_of(self._model, list(self._layers.values()), self._receive))
            for batch in batches(data, self._model, where=where, unpack=self._unpack):
                labels = _labels(batch.labels, where=where)
                if not len(labels):
                    continue
                self._found, self._samples = {}, len(labels)
                output = call(self._model, batch.inputs)
                self._settle(samples, first=first)
                samples += len(labels)
                yield Seen(labels, self._found, _right(output, labels))
        if not samples:
            raise ArgumentError(
                f"{where} must have samples, got none. An iterator that was gone through before "
                "is empty: pass a DataLoader or tensors (x, y)."
            )

    def leave_out(self, name: str, reason: str) -> None:
        """Give a layer up.

        Args:
            name: Of the layer.
            reason: Why, in words.
        """
        self.left_out.setdefault(name, reason)
        self._found.pop(name, None)

    def _receive(self, layer: Layer, output: Any, real: Tensor | None) -> None:
        name = layer.facts.name
        if self.left_out.get(name) == _NEVER:
            self.left_out[name] = _SOME
        if name in self.left_out:
            return
        if name in self._found:
            self.leave_out(name, "called more than once in a forward pass")
            return
        try:
            found = features_of(layer, output, real)
        except ShapeError as error:
            self.leave_out(name, str(error).partition(": ")[2])
            return
        if len(found.values) != self._samples:
            self.leave_out(
                name,
                f"its output has {len(found.values)} rows for {self._samples} labels",
            )
        elif not found.values.isfinite().all():
            self.leave_out(name, "its output has nan, or numbers without end")
        else:
            self._found[name] = found

    def _settle(self, before: int, *, first: bool) -> None:
        """Give up layers that are not in every batch, or not alike."""
        for name, found in list(self._found.items()):
            width = found.values.shape[1]
            if name not in self._widths and first and not before:
                self._widths[name] = width
            elif name not in self._widths:
                self.leave_out(name, _SOME)
            elif self._widths[name] != width:
                self.leave_out(name, f"its features change from {self._widths[name]} to {width}")
        for name in self._layers:
            if name not in self._found:
                self.leave_out(name, _SOME if name in self._widths else _NEVER)


def _labels(labels: Any, *, where: str) -> NDArray[np.int64]:
    if labels is None:
        raise ArgumentError(
            f"{where} must have labels, got a batch without. Give batches (x, y), dicts with "
            "`labels`, or tensors (x, y)."
        )
    return class_numbers(labels, where=where).numpy()


def _right(output: object, labels: NDArray[np.int64]) -> int | None:
    scores = main_output(output)
    if not isinstance(scores, Tensor) or scores.ndim != 2 or not scores.is_floating_point():
        return None
    if (
        len(scores) != len(labels)
        or labels[labels != IGNORED].min(initial=0) < 0
        or labels.max() >= scores.shape[1]
    ):
        return None
    return int((scores.argmax(1).cpu().numpy() == labels).sum())
