"""Modules whose parameters lie in parts on many processes."""

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import nn

from fathom.capture.modules import around
from fathom.errors import ShapeError


def class_of(module: nn.Module) -> type[nn.Module]:
    """Return the class that a module was written as: `fully_shard` gives it one of its own.

    Args:
        module: Sharded or not.
    """
    kind = type(module)
    return (
        kind.__mro__[getattr(kind, "_orig_cls_mro_index", 2)] if is_fully_sharded(module) else kind
    )


def is_fully_sharded(module: nn.Module) -> bool:
    """Tell whether `fully_shard` was used on a module itself."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(module, fsdp.FSDPModule)


def tensor_parallel(names: Iterable[str], modules: Mapping[str, nn.Module]) -> set[str]:
    """Return the layers that compute a part of their output only, or a part of its sum.

    Args:
        names: Of the layers.
        modules: Every module of the model by name, outside of any call.

    Returns:
        Those with a parameter of their own that is spread in another way than by `fully_shard`,
        which has it whole during a call.
    """
    found = set()
    for name in names:
        within = [*around(name, modules), modules[name]]
        # Along how many dimensions of the mesh of processes; `fully_shard` takes one.
        allowed = any(is_fully_sharded(module) for module in within)
        for part in modules[name].parameters(recurse=False):
            if is_distributed(part) and _ways(part) > allowed:
                found.add(name)
    return found


def _ways(tensor: Any) -> int:
    return sum(not placement.is_replicate() for placement in tensor.placements)


def refuse_part(output: object, name: str, parallel: Collection[str]) -> None:
    """Refuse what is one process's part of a layer's output.

    Args:
        output: Of the layer.
        name: Of the layer.
        parallel: The layers that are tensor-parallel.

    Raises:
        ShapeError: If it is a part.
    """
    if name in parallel or is_distributed(output):
        raise ShapeError(
            "rows: a layer must be whole in its process, got one that is tensor-parallel: each has "
            "a part of its width, or of its sum. Leave it out with "
            f'layers=["*", "!{name}"]. Rows of layers that are whole count once on each process.'
        )


def is_distributed(tensor: Any) -> bool:
    """Tell whether a tensor is one process's part of a larger one."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(tensor, tensors.DTensor)
