"""Hooks that never hold the monitor, and whose copies do nothing.

A hook knows whom to tell by a weak reference, and its copy or pickle is a function of the standard
library that does nothing. A copy of a watched model is thus an ordinary model that counts nowhere,
and its file opens where fathom is not installed.

In eager mode a hook tells its listener directly. While a model is compiled it puts an operator into
the graph, which tells the listener each time that the graph runs.
"""

import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fathom.capture.layers import Layer
from fathom.capture.masks import Call, Mask, Masks, masks_among
from fathom.capture.operator import register
from fathom.capture.rows import main_output

# Torch before 2.7 has no way to tell.
_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


class Listener(Protocol):
    """Whom hooks tell; none of it may raise."""

    def began(self, masks: Masks) -> None:
        """A call of the root begins in eager mode, with these masks."""

    def stepped(self) -> None:
        """A call of the root begins in any mode, where somebody counts them."""

    def ended(self) -> None:
        """A call of the root ends, in eager mode or where somebody counts calls."""

    def observed(self, layer: Layer, output: object) -> None:
        """A layer returned this in eager mode."""

    def observed_compiled(self, layer: Layer, output: Tensor, mask: Mask | None) -> None:
        """A layer's output was this, and this the mask of the call, in a compiled graph."""

    def called(self, name: str) -> None:
        """A layer that is not watched was called."""


class _Hook:
    def __init__(self, listener: Listener, token: Tensor):
        self._listener = weakref.ref(listener)
        self._token = token
        self._number = register(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # A function of any arguments that returns None; copy and pickle ask here.
        return getattr, (nullcontext(), "__exit__")


class BeginHook(_Hook):
    """A pre-hook of the root, which takes keyword arguments too.

    A compiled root runs its own hooks outside its graph, each as a graph of its own if it computes
    anything. So this one only puts the masks where the hooks inside find them.
    """

    def __init__(
        self, listener: Listener, token: Tensor, call: Call, names: Sequence[str], *, counts: bool
    ):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks whose order matters.
            call: Where to leave the masks.
            names: Of the root's arguments, in order.
            counts: Whether calls are counted.
        """
        super().__init__(listener, token)
        self._call = call
        self._names = tuple(names)
        self._counts = counts

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Take a call."""
        if _is_exporting():
            return
        masks = self._call.given
        if masks is None:
            masks = masks_among({**dict(zip(self._names, args, strict=False)), **kwargs})
        self._call.masks = masks
        if not torch.compiler.is_compiling():
            if listener := self._listener():
                listener.began(masks)
            if self._counts:
                self.step()
        elif self._counts:
            torch.ops.fathom.step(self._token, self._number)

    def step(self) -> None:
        """Tell the listener; the operator calls this."""
        if listener := self._listener():
            listener.stepped()


class EndHook(_Hook):
    """A forward hook of the root."""

    def __init__(self, listener: Listener, token: Tensor, call: Call, *, counts: bool):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks whose order matters.
            call: Where the masks were left.
            counts: Whether calls are counted.
        """
        super().__init__(listener, token)
        self._call = call
        self._counts = counts

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Take the end of a call."""
        if _is_exporting():
            return
        self._call.masks = Masks()
        self._call.given = None
        if not torch.compiler.is_compiling():
            self.end()
        elif self._counts:
            torch.ops.fathom.end(self._token, self._number)

    def end(self) -> None:
        """Tell the listener; the operator calls this."""
        if listener := self._listener():
            listener.ended()


class LayerHook(_Hook):
    """A forward hook of a watched layer."""

    def __init__(self, listener: Listener, token: Tensor, call: Call, layer: Layer):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks whose order matters.
            call: Where the masks are in a compiled graph.
            layer: The layer.
        """
        super().__init__(listener, token)
        self._call = call
        self._layer = layer

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Take a call."""
        if not torch.compiler.is_compiling():
            if listener := self._listener():
                listener.observed(self._layer, output)
        elif not _is_exporting():
            tensor = self._layer.pick(output)
            if isinstance(tensor, Tensor):
                mask = self._call.masks.of(self._layer.side)
                torch.ops.fathom.observe(
                    tensor.detach(),
                    None if mask is None else mask.tensor,
                    mask is not None and mask.marks_padding,
                    self._token,
                    self._number,
                )

    def observe(self, output: Tensor, mask: Mask | None) -> None:
        """Tell the listener; the operator calls this.

        Args:
            output: The part of the layer's output that is read.
            mask: Of the layer's sequence.
        """
        if listener := self._listener():
            listener.observed_compiled(self._layer, output, mask)


class FirstCallHook(_Hook):
    """A forward hook that goes after its first call, so that it costs nothing later.

    In a compiled model it stays: to remove it would compile the model once more.
    """

    handle: RemovableHandle

    def __init__(self, listener: Listener, token: Tensor, name: str):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks whose order matters.
            name: The layer's name.
        """
        super().__init__(listener, token)
        self._name = name

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Take a call."""
        tensor = main_output(output)
        if not torch.compiler.is_compiling():
            self.observe(tensor, None)
            self.handle.remove()
        elif isinstance(tensor, Tensor) and not _is_exporting():
            torch.ops.fathom.observe(tensor.detach(), None, False, self._token, self._number)

    def observe(self, output: Tensor, mask: Mask | None) -> None:
        """Tell the listener; the operator calls this.

        Args:
            output: Not looked at.
            mask: Nor this.
        """
        if listener := self._listener():
            listener.called(self._name)


def detach(handles: list[RemovableHandle]) -> None:
    """Remove hooks from their modules.

    Args:
        handles: What registering them returned; emptied.
    """
    while handles:
        handles.pop().remove()
