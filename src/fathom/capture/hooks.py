"""Hooks that never hold the monitor, and whose copies do nothing.

A hook knows whom to call by a weak reference, and its copy or pickle is a function of the standard
library that does nothing. A copy of a watched model is thus an ordinary model that counts nowhere,
and its file opens where fathom is not installed.
"""

import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fathom.capture.operator import register


class Hook:
    """A forward hook, or a forward pre-hook, in eager and in compiled models alike."""

    def __init__(self, act: Callable[[Any, Any], None], subject: object, token: Tensor):
        """Say whom to call.

        Args:
            act: A method, called with `subject` and the output (None before the forward). It is
                held weakly, and must not raise.
            subject: What the hook is about.
            token: Shared by all hooks whose order matters.
        """
        self._act = weakref.WeakMethod(act)
        self._subject = subject
        self._token = token
        self._number = register(self)

    def __call__(self, module: nn.Module, args: Any, output: Any = None) -> None:
        """Take a call of the module; compiled graphs take the operator instead of the method."""
        if not torch.compiler.is_compiling():
            self.run(output)
        elif torch.compiler.is_exporting():
            return
        elif output is None:
            torch.ops.fathom.step(self._token, self._number)
        else:
            tensor = output[0] if isinstance(output, tuple) else output
            if isinstance(tensor, Tensor):
                torch.ops.fathom.observe(tensor.detach(), self._token, self._number)

    def run(self, output: object) -> None:
        """Call the method, if its owner is still there.

        Args:
            output: What the module returned.
        """
        act = self._act()
        if act is not None:
            act(self._subject, output)

    def __reduce__(self) -> tuple[Any, ...]:
        """Become a function of any arguments that returns None; copy and pickle ask here."""
        return getattr, (nullcontext(), "__exit__")


class FirstCallHook(Hook):
    """A forward hook that goes after its first call, so that it costs nothing later.

    In a compiled model it stays: to remove it would compile the model once more.
    """

    handle: RemovableHandle

    def __call__(self, module: nn.Module, args: Any, output: Any = None) -> None:
        """Take a call of the module."""
        super().__call__(module, args, output)
        if not torch.compiler.is_compiling():
            self.handle.remove()


def detach(handles: list[RemovableHandle]) -> None:
    """Remove hooks from their modules.

    Args:
        handles: What registering them returned; emptied.
    """
    while handles:
        handles.pop().remove()
