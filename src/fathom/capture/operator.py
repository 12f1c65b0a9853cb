"""The operators that compiled graphs call.

`torch.compile` traces hooks together with the model. What a hook does in Python would break the
graph, or be run once, when the graph is made. An operator that says it changes one of its
arguments is neither looked into nor left out: it runs at every call, with real tensors. That
argument is a token that all hooks of a capture share, so that their order is kept as well.
"""

import itertools
import weakref
from typing import Protocol

import torch
from torch import Tensor


class Observer(Protocol):
    """What stands behind an operator."""

    def run(self, output: object) -> None:
        """Do at run time what a hook does in eager mode; never raise."""


_LIBRARY = torch.library.Library("fathom", "DEF")
_LIBRARY.define("observe(Tensor output, Tensor(a!) token, int observer) -> ()")
_LIBRARY.define("step(Tensor(a!) token, int observer) -> ()")

_observers: "weakref.WeakValueDictionary[int, Observer]" = weakref.WeakValueDictionary()
_numbers = itertools.count()


def register(observer: Observer) -> int:
    """Return the number by which compiled graphs call an observer, for as long as it lives.

    Args:
        observer: What to call; it is not kept alive.

    Returns:
        The number, which is never given twice.
    """
    number = next(_numbers)
    _observers[number] = observer
    return number


def _run(number: int, output: Tensor | None) -> None:
    observer = _observers.get(number)
    if observer is not None:
        observer.run(output)


def _observe(output: Tensor, token: Tensor, observer: int) -> None:
    _run(observer, output)


def _step(token: Tensor, observer: int) -> None:
    _run(observer, None)


_LIBRARY.impl("observe", _observe, "CompositeExplicitAutograd")
_LIBRARY.impl("step", _step, "CompositeExplicitAutograd")

# While a graph is made there is nothing to observe.
torch.library.register_fake("fathom::observe", lambda output, token, observer: None, lib=_LIBRARY)
torch.library.register_fake("fathom::step", lambda token, observer: None, lib=_LIBRARY)
