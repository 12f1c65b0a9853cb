"""The weights of a model as people save them: a state dict, alone or in something, or a file."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fathom.capture.modules import plain_name
from fathom.errors import ArgumentError

_INSIDE = ("state_dict", "model_state_dict", "model", "module")
_FIX = "Write one with torch.save(model.state_dict(), ...)."


def read_weights(path: str | os.PathLike[str], *, where: str, said: str) -> object:
    """Read a checkpoint, without running any code in it.

    Args:
        path: What `torch.save` wrote, or safetensors.
        where: The function and argument, for messages.
        said: What it is called in them.

    Returns:
        What is in it; its numbers stay on the disk until they are used.

    Raises:
        ArgumentError: If it cannot be read.
    """
    try:
        if os.fspath(path).endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:
            # Files of before torch 1.6 have no parts that could stay on the disk.
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ArgumentError(
            f"{where} must be a file of weights, got {said}: {reason}. {_FIX}"
        ) from error


def weights_in(found: object, *, where: str, said: str) -> Mapping[str, Any]:
    """Find the state dict in what was saved.

    Args:
        found: A state dict, or what holds one under a usual name.
        where: The function and argument, for messages.
        said: What it is called in them.

    Returns:
        The state dict.

    Raises:
        ArgumentError: If there is none.
    """
    for key in _INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not any(isinstance(x, Tensor) for x in found.values()):
        raise ArgumentError(
            f"{where} must hold a state dict, got {type(found).__name__} in {said}. {_FIX}"
        )
    return found


def load_into(model: nn.Module, weights: Mapping[str, Any], *, where: str, said: str) -> None:
    """Load weights into a model, whatever wrappers the one that they were saved from was in.

    Args:
        model: Of the same architecture.
        weights: A state dict.
        where: The function and argument, for messages.
        said: What it is called in them.

    Raises:
        ArgumentError: If they do not fit.
    """
    own = list(model.state_dict())
    if set(own) != set(weights):
        names = dict(zip(_bare(own), own, strict=True))
        bare = _bare(weights)
        weights = {
            names.get(name, name): each for name, each in zip(bare, weights.values(), strict=True)
        }
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ArgumentError(
            f"{where} must fit the model, got {said}: {reason}. Give the model that it was saved "
            "from."
        ) from error


def _bare(names: Iterable[str]) -> list[str]:
    """Return names without what torch.compile, DistributedDataParallel and others add."""
    found = [plain_name(name) for name in names]
    while found and all(name.startswith("module.") for name in found):
        found = [name.removeprefix("module.") for name in found]
    return found
