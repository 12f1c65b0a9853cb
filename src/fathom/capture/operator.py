"""The operators that compiled graphs call.

`torch.compile` traces hooks together with the model. What a hook does in Python would break the
graph, or be run once, when the graph is made. An operator that says it changes one of its
arguments is neither looked into nor left out: it runs at every call, with real tensors. That
argument is a token that all hooks of a capture share, so that their order is kept as well.
"""

import itertools
import weakref
from typing import Any

import torch
from torch import Tensor

from fathom.capture.masks import Mask

_LIBRARY = torch.library.Library("fathom", "DEF")
_observers: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()
_numbers = itertools.count()


def register(observer: object) -> int:
    """Return the number by which compiled graphs call an observer, for as long as it lives.

    Args:
        observer: A hook, with a method named like the operator; it is not kept alive.

    Returns:
        The number, which is never given twice.
    """
    number = next(_numbers)
    _observers[number] = observer
    return number


def _observe(
    output: Tensor, mask: Tensor | None, marks_padding: bool, token: Tensor, observer: int
) -> None:
    if found := _observers.get(observer):
        found.observe(output, None if mask is None else Mask(mask, marks_padding))


def _step(token: Tensor, observer: int) -> None:
    if found := _observers.get(observer):
        found.step()


def _end(token: Tensor, observer: int) -> None:
    if found := _observers.get(observer):
        found.end()


for _name, _arguments, _function in (
    ("observe", "Tensor output, Tensor? mask, bool marks_padding, ", _observe),
    ("step", "", _step),
    ("end", "", _end),
):
    _LIBRARY.define(f"{_name}({_arguments}Tensor(a!) token, int observer) -> ()")
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    # While a graph is made there is nothing to observe.
    torch.library.register_fake(f"fathom::{_name}", lambda *arguments: None, lib=_LIBRARY)
