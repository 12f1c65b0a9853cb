"""What a user names on the command line: a function in a module, the weights of a model."""

import importlib
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fathom.errors import ArgumentError

_WITHIN = ("state_dict", "model_state_dict", "model", "module")


def named_function(target: str, *, where: str) -> Callable[[], Any]:
    """Import a function.

    Args:
        target: `package.module:function`, found from the current folder too, or `file.py:function`.
        where: The command and argument, for messages.

    Returns:
        The function.

    Raises:
        ArgumentError: If there is none of this name.
    """
    place, colon, name = target.rpartition(":")
    if not (colon and place and name.isidentifier()):
        raise ArgumentError(
            f"{where} must be MODULE:FUNCTION, got {target!r}. For example: my_module:build"
        )
    try:
        module = _file(place) if place.endswith(".py") else _module(place)
    except ModuleNotFoundError as error:
        # What the module itself imports and lacks is told by its own traceback.
        if error.name is None or not (place == error.name or place.startswith(f"{error.name}.")):
            raise
        raise ArgumentError(
            f"{where} must name a module that Python finds, got {place!r}. Run it from the folder "
            "that holds it, or pass a file: my_module.py:build"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        there = [each for each, what in vars(module).items() if callable(what) and each[0] != "_"]
        raise ArgumentError(
            f"{where} must name a function, got {name!r}, which {place} does not have. There are: "
            f"{', '.join(there[:5]) or 'none'}."
        )
    return found  # type: ignore[no-any-return]


def load_weights(model: nn.Module, path: Path, *, where: str) -> None:
    """Load a checkpoint into a model, without running any code in it.

    Args:
        model: Of the same architecture.
        path: What `torch.save` wrote of a state dict, alone or under a usual name; or safetensors.
        where: The command and argument, for messages.

    Raises:
        ArgumentError: If it cannot be read, or does not fit.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArgumentError(
            f"{where} must be a file of weights, got {path}: {reason}. Write one with "
            "torch.save(model.state_dict(), ...)."
        ) from error
    weights = _weights(found)
    if weights is None:
        raise ArgumentError(
            f"{where} must hold a state dict, got {type(found).__name__} in {path}. Write one with "
            "torch.save(model.state_dict(), ...)."
        )
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ArgumentError(
            f"{where} must fit the model, got {path}: {reason}. Have the function return the model "
            "that was trained."
        ) from error


def _weights(found: Any) -> Mapping[str, Any] | None:
    if not isinstance(found, Mapping):
        return None
    for name in _WITHIN:
        if isinstance(found.get(name), Mapping):
            return found[name]  # type: ignore[no-any-return]
    return found if any(isinstance(each, Tensor) for each in found.values()) else None


def _module(name: str) -> Any:
    # As `python -m` finds modules; a command's own first place is that of its script.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def _file(place: str) -> Any:
    path = Path(place)
    if not path.is_file():
        raise ModuleNotFoundError(place, name=place)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(path.stem)
