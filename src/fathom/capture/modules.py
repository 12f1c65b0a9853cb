"""The modules of a model, by the names it was written with, whatever is wrapped around them."""

from collections.abc import Mapping

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

_INSIDE = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
"""Where `torch.compile`, activation checkpointing and the first FSDP hold what they wrap."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model behind `torch.compile` and data parallelism, whose names are its own.

    Args:
        model: A module, wrapped or not.

    Returns:
        The original module; its wrappers call it, with its hooks.
    """
    while True:
        names = ["module"] if isinstance(model, DataParallel | DistributedDataParallel) else _INSIDE
        inside = [model._modules.get(name) for name in names]
        inner = next((each for each in inside if each is not None), None)
        if inner is None:
            return model
        model = inner


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module by all its names, without wrappers and what they add to names.

    Args:
        model: The root, whose own name is empty.

    Returns:
        In order of registration.
    """
    # What is inside a wrapper comes after it, and takes its place.
    return {
        plain_name(name): module for name, module in model.named_modules(remove_duplicate=False)
    }


def plain_name(name: str) -> str:
    """Return a module's name without what wrappers add.

    Args:
        name: As `named_modules` gives it, or a pattern of such.
    """
    return ".".join(part for part in name.split(".") if part not in _INSIDE)


def around(name: str, modules: Mapping[str, nn.Module]) -> list[nn.Module]:
    """Return the modules that a module lies in, from the root on.

    Args:
        name: Of the module.
        modules: Every module by name.

    Returns:
        None for the root itself.
    """
    path = name.split(".") if name else []
    return [modules[".".join(path[:end])] for end in range(len(path))]
