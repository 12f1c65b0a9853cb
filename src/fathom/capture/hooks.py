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
from fathom.capture.modes import is_recomputing
from fathom.capture.operator import register
from fathom.capture.rows import main_output

# Torch before 2.7 has no way to tell.
_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


class Current(Protocol):
    """The present call of the root in one thread, in eager mode.

    Attributes:
        missed: Where layers that are called put their names, if nothing of this call is read.
        inside: As in `Call`.
        part: As in `Call`.
    """

    missed: dict[str, None] | None
    inside: bool
    part: int | None


class Listener(Protocol):
    """Whom hooks tell; none of it may raise.

    Attributes:
        aside: Whether calls are an analysis's own, which end nothing that was given for the next.
    """

    aside: bool

    @property
    def current(self) -> Current:
        """The present call of the root, in this thread."""

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


class Hook:
    """What all hooks have: whom they tell, and a copy that does nothing."""

    def __init__(self, listener: Listener, token: Tensor):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks of a listener, so that graphs keep their order.
        """
        self._listener = weakref.ref(listener)
        self.token = token
        self.number = register(self)

    @property
    def listener(self) -> Listener | None:
        """Whom it tells, while that is there."""
        return self._listener()

    def __reduce__(self) -> tuple[Any, ...]:
        # A function of any arguments that returns None; copy and pickle ask here.
        return getattr, (nullcontext(), "__exit__")


class RootHook(Hook):
    """What the hooks of the root have, and of its parts: the call that they are in."""

    _call: Call

    def present(self) -> "Call | Current":
        """Return the present call: of this thread or, in a compiled graph, of the graph."""
        listener = None if torch.compiler.is_compiling() else self._listener()
        return self._call if listener is None else listener.current


class BeginHook(RootHook):
    """A pre-hook of the root, which takes keyword arguments too.

    A compiled root runs its own hooks outside its graph, each as a graph of its own if it computes
    anything. So this one only puts the masks where the hooks inside find them.
    """

    def __init__(
        self,
        listener: Listener,
        token: Tensor,
        call: Call,
        names: Sequence[str],
        *,
        counts: bool,
    ):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks whose order matters.
            call: Where to leave the masks.
            names: Of the module's arguments, in order.
            counts: Whether calls are counted.
        """
        super().__init__(listener, token)
        self._call = call
        self._names = tuple(names)
        self._counts = counts

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Take a call."""
        if _is_aside():
            return
        self.begin(args, kwargs, part=None)
        if self._counts:
            if torch.compiler.is_compiling():
                torch.ops.fathom.step(self.token, self.number)
            else:
                self.step()

    def begin(self, args: Any, kwargs: Any, *, part: int | None, side: str = "only") -> None:
        """Leave the masks where they are found.

        Args:
            args: Of the module, in order.
            kwargs: Of the module, by name.
            part: The number of a part's hook; None of the root.
            side: Of the module, as in `Layer`.
        """
        masks = self._call.given
        if masks is None:
            arguments = {**dict(zip(self._names, args, strict=False)), **kwargs}
            masks = masks_among(arguments, side=side)
        call = self._call
        call.masks, call.inside, call.part = masks, True, part
        if not torch.compiler.is_compiling() and (listener := self._listener()):
            listener.current.inside, listener.current.part = True, part
            listener.began(masks)

    def step(self) -> None:
        """Tell the listener; the operator calls this."""
        if listener := self._listener():
            listener.stepped()


class EndHook(RootHook):
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
        if _is_aside():
            return
        call = self._call
        call.masks, call.inside, call.part = Masks(), False, None
        if torch.compiler.is_compiling():
            call.given = None
            if self._counts:
                torch.ops.fathom.end(self.token, self.number)
        elif listener := self._listener():
            listener.current.inside, listener.current.part = False, None
            if not listener.aside:
                call.given = None
            listener.ended()

    def end(self) -> None:
        """Tell the listener; the operator calls this."""
        if listener := self._listener():
            listener.ended()


class PartBeginHook(BeginHook):
    """A pre-hook of a part of the model, which is called with masks where the root is not."""

    def __init__(
        self,
        listener: Listener,
        token: Tensor,
        call: Call,
        names: Sequence[str],
        *,
        side: str,
    ):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks whose order matters.
            call: Where to leave the masks.
            names: Of the part's arguments, in order.
            side: Of the part, as in `Layer`.
        """
        super().__init__(listener, token, call, names, counts=False)
        self._side = side

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Take a call."""
        if not _is_aside() and not self.present().inside:
            self.begin(args, kwargs, part=self.number, side=self._side)


class PartEndHook(EndHook):
    """A forward hook of the same part."""

    def __init__(self, listener: Listener, token: Tensor, call: Call, begin: PartBeginHook):
        """Say whom to tell.

        Args:
            listener: Held weakly.
            token: Shared by all hooks whose order matters.
            call: Where the masks were left.
            begin: The pre-hook of the part.
        """
        super().__init__(listener, token, call, counts=False)
        self._begin = begin

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Take the end of a call."""
        if self.present().part == self._begin.number:
            super().__call__(module, args, output)


class LayerHook(Hook):
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
        self.layer = layer
        self._name = layer.facts.name

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Take a call."""
        if not torch.compiler.is_compiling():
            listener = self._listener()
            if listener is None:
                return
            if (missed := listener.current.missed) is not None:
                missed[self._name] = None
                return
            listener.observed(self.layer, output)
        elif not _is_exporting():
            tensor = self.layer.pick(output)
            if isinstance(tensor, Tensor):
                mask = self._call.masks.of(self.layer.side)
                torch.ops.fathom.observe(
                    tensor.detach(),
                    None if mask is None else mask.tensor,
                    mask is not None and mask.marks_padding,
                    self.token,
                    self.number,
                )

    def observe(self, output: Tensor, mask: Mask | None) -> None:
        """Tell the listener; the operator calls this.

        Args:
            output: The part of the layer's output that is read.
            mask: Of the layer's sequence.
        """
        if listener := self._listener():
            listener.observed_compiled(self.layer, output, mask)


class FirstCallHook(Hook):
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
            listener = self._listener()
            if listener is None or not listener.aside:
                self.observe(tensor, None)
                self.handle.remove()
        elif isinstance(tensor, Tensor) and not _is_exporting():
            torch.ops.fathom.observe(tensor.detach(), None, False, self.token, self.number)

    def observe(self, output: Tensor, mask: Mask | None) -> None:
        """Tell the listener; the operator calls this.

        Args:
            output: Not looked at.
            mask: Nor this.
        """
        if listener := self._listener():
            listener.called(self._name)


def _is_aside() -> bool:
    """Tell whether this call of the root is none of its own: an export, or a recomputation."""
    return _is_exporting() or (not torch.compiler.is_compiling() and is_recomputing())
