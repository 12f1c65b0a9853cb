"""The outputs of a frozen model's layers, handed over while it runs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fathom.capture.hooks import Hook, Listener
from fathom.capture.layers import Layer
from fathom.capture.masks import Masks, argument_names, masks_among
from fathom.capture.modules import unwrapped
from fathom.capture.selection import LayerFilter, select_layers
from fathom.errors import ArgumentError
from fathom.settings import Settings

Receive = Callable[[Layer, Any, Tensor | None], None]
"""Takes a layer, its output before an activation in place can overwrite it, and the real positions.

The latter are (b, t) bool, or None where the call names no mask.
"""


def chosen_layers(
    model: nn.Module, layers: LayerFilter | None, *, where: str = "watch"
) -> list[Layer]:
    """Return the layers to look at, in order of registration.

    Args:
        model: The root, wrapped or not.
        layers: As of `fathom.watch`.
        where: The function, for messages.

    Returns:
        At least one.

    Raises:
        ArgumentError: If the model is none.
        LayerSelectionError: If `layers` selects nothing.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"{where}: model must be a torch.nn.Module, got {type(model).__name__}. "
            "Pass the module itself."
        )
    return select_layers(unwrapped(model), layers, Settings(), where=where)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Have a model in eval mode, without gradients and unseen by monitors, and then as it was.

    Compiled code runs uncompiled meanwhile.

    Args:
        model: The root; each module gets its own mode back.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    with ExitStack() as undo:
        undo.enter_context(unwatched(model))
        undo.enter_context(uncompiled())
        undo.callback(_restore, modes)
        model.eval()
        undo.enter_context(torch.no_grad())
        yield


@contextmanager
def unwatched(model: nn.Module) -> Iterator[None]:
    """Have the monitors of a model see nothing of what is called inside.

    Args:
        model: The root.

    Yields:
        Nothing.
    """
    told: list[Listener] = []
    for module in model.modules():
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            listener = hook.listener if isinstance(hook, Hook) else None
            if listener is not None and not listener.aside:
                listener.aside = True
                told.append(listener)
    try:
        yield
    finally:
        for listener in told:
            listener.aside = False


@contextmanager
def uncompiled() -> Iterator[None]:
    """Have compiled code run uncompiled, as it knows no hooks that come after it.

    It holds for the whole process: torch has no other switch.

    Yields:
        Nothing.
    """
    if "torch._dynamo.eval_frame" not in sys.modules:
        # Nothing is compiled, and to find that out must not take seconds of imports.
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def outputs_of(model: nn.Module, layers: Sequence[Layer], receive: Receive) -> Iterator[None]:
    """Hand over what layers return, as often as they are called, as `watch` would read it.

    Args:
        model: The root behind its wrappers, whose arguments name masks.
        layers: Some of its layers.
        receive: Is called with each; the tensor is not to be kept, only copied.

    Yields:
        Nothing; the hooks come off at the end.
    """
    present = _Present()
    with ExitStack() as undo:
        undo.callback(model.register_forward_pre_hook(present.begin, with_kwargs=True).remove)
        for layer in layers:
            hook = partial(_hand_over, layer, receive, present)
            undo.callback(layer.module.register_forward_hook(hook).remove)
        yield


class _Present:
    """The masks of the present call."""

    def __init__(self) -> None:
        self.masks = Masks()

    def begin(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.masks = masks_among(
            {**dict(zip(argument_names(module), args, strict=False)), **kwargs}
        )


def _hand_over(
    layer: Layer, receive: Receive, present: _Present, module: nn.Module, args: Any, output: Any
) -> None:
    mask = present.masks.of(layer.side)
    receive(layer, layer.pick(output), None if mask is None else mask.real())


def _restore(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training
