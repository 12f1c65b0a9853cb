"""Models that were compiled before they are watched."""

import sys

import torch
from torch import nn

from fathom.errors import warn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model behind `torch.compile`, whose names are the model's own.

    Args:
        model: A module, compiled or not.

    Returns:
        The original module; the compiled one calls it, with its hooks.
    """
    original = getattr(model, "_orig_mod", model)
    return original if isinstance(original, nn.Module) else model


def forget_compiled_code(model: nn.Module) -> None:
    """Make a model that ran compiled before be compiled once more, with the hooks that it has now.

    A graph that was made without hooks runs without them. Only code that begins in the model's own
    modules is found: of a compiled function that calls the model, the layers are never observed,
    and the snapshot names them.

    Args:
        model: The root.
    """
    if "torch._dynamo.eval_frame" not in sys.modules:
        return
    from torch._dynamo.eval_frame import _debug_get_cache_entry_list

    functions: list[object] = [type(module).forward for module in model.modules()]
    # Where the root is one of torch's own modules, compiled code begins in a function around it.
    functions.append(getattr(model.forward, "__wrapped__", None))
    codes = [getattr(function, "__code__", None) for function in functions]
    if any(_debug_get_cache_entry_list(code) for code in codes if code is not None):
        torch._dynamo.reset()
        warn(
            "watch: the model ran compiled before it was watched, so its compiled code was dropped "
            "and is made again at the next call. Watch it before its first call to save this."
        )
