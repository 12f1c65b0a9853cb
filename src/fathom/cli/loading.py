"""What a user names on the command line: a function in a module, the weights of a model."""

import importlib
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from torch import nn

from fathom.analysis.weights import load_into, read_weights, weights_in
from fathom.errors import ArgumentError


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
    said = str(path)
    weights = weights_in(read_weights(path, where=where, said=said), where=where, said=said)
    load_into(model, weights, where=where, said=said)


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
    # Where imports would find this file by its name, a data loader's processes can as well.
    name = path.stem
    if not _leads_to(name, path):
        name = f"{name}_{zlib.crc32(bytes(path.resolve()))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _leads_to(name: str, path: Path) -> bool:
    """Tell whether an import of a name is this file, and not the standard library's, say."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return False
    origin = None if spec is None else spec.origin
    return origin is not None and Path(origin).resolve() == path.resolve()
