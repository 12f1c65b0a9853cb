"""Modules whose parameters lie in parts on many processes."""

import sys
from typing import Any

from torch import nn


def class_of(module: nn.Module) -> type[nn.Module]:
    """Return the class that a module was written as: `fully_shard` gives it one of its own.

    Args:
        module: Sharded or not.
    """
    return type(module).__mro__[2] if is_fully_sharded(module) else type(module)


def is_fully_sharded(module: nn.Module) -> bool:
    """Tell whether `fully_shard` was used on a module itself."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(module, fsdp.FSDPModule)


def is_tensor_parallel(module: nn.Module, *, sharded: bool) -> bool:
    """Tell whether a module computes a part of its output only, or a part of its sum.

    Args:
        module: With parameters of its own.
        sharded: Whether `fully_shard` was used on it, or on a module around it.

    Returns:
        True where a parameter of its own is spread in another way than by `fully_shard`, which
        has it whole during a call.
    """
    # Along how many dimensions of the mesh of processes; `fully_shard` takes one.
    parts: list[Any] = [each for each in module.parameters(recurse=False) if is_distributed(each)]
    ways = [sum(not place.is_replicate() for place in part.placements) for part in parts]
    return any(count > sharded for count in ways)


def is_distributed(tensor: Any) -> bool:
    """Tell whether a tensor is one process's part of a larger one."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(tensor, tensors.DTensor)
