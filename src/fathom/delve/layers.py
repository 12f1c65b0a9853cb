"""Which layers Delve tracks, and what it calls them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from fathom.capture.layers import all_modules
from fathom.capture.modules import unwrapped
from fathom.errors import ArgumentError

Named = dict[str, nn.Module]
"""Delve's name of a layer, with dashes -> the layer."""

_SUPPORTED = (nn.Conv2d, nn.Linear, nn.LSTM)


def roots_of(modules: object) -> list[nn.Module]:
    """Return the modules that are given to the tracker.

    Args:
        modules: One, or a list of them.

    Returns:
        Each once.

    Raises:
        ArgumentError: If there is something else.
    """
    roots: list[Any] = list(modules) if isinstance(modules, list | tuple) else [modules]
    if not roots or not all(isinstance(root, nn.Module) for root in roots):
        raise ArgumentError(
            "SaturationTracker: modules must be a torch.nn.Module or a list of them, got "
            f"{modules!r}. Pass the model."
        )
    return list(dict.fromkeys(roots))


def tracked_layers(roots: Sequence[nn.Module], *, include_conv: bool, listed: bool) -> Named:
    """Find the layers of the kinds that Delve knows.

    Args:
        roots: One model, or the modules of a list.
        include_conv: False to leave convolutions out.
        listed: Whether a list was given.

    Returns:
        By Delve's names: dashes for dots, and `Module-1-Linear` for a layer in a list. Where two
        modules of a list have a layer of one name, the second has its place in the list before it.
    """
    found: Named = {}
    for place, root in enumerate(roots):
        alone = listed and isinstance(root, _SUPPORTED)
        below: Named = {}
        _walk(root, f"Module-{place}-{type(root).__name__}" if alone else "", below)
        for name, layer in below.items():
            found[f"{place}-{name}" if name in found else name] = layer
    return {
        name: layer
        for name, layer in found.items()
        if include_conv or not isinstance(layer, nn.Conv2d)
    }


def _walk(module: nn.Module, name: str, found: Named) -> None:
    if isinstance(module, _SUPPORTED):
        found[name] = module
        return
    for part, child in module.named_children():
        _walk(child, f"{name}-{part}" if name else part, found)


def filtered(
    layers: Named, layer_filter: Callable[[Named], Named], ignored: Sequence[str]
) -> Named:
    """Leave out what is not wanted.

    Args:
        layers: By Delve's names.
        layer_filter: Returns those to track; it may give them other names.
        ignored: Names to leave out after that.

    Returns:
        What is left.

    Raises:
        ArgumentError: If the filter returns something else than modules by name, or none is left.
    """
    kept = layer_filter(dict(layers))
    if not isinstance(kept, Mapping) or not all(isinstance(m, nn.Module) for m in kept.values()):
        raise ArgumentError(
            "SaturationTracker: layer_filter must return a dict of names and modules, got "
            f"{kept!r}. Return the dict that it is given, without some of its entries."
        )
    left = {name: layer for name, layer in kept.items() if name not in ignored}
    if not left:
        raise ArgumentError(
            "SaturationTracker: modules must have a Conv2d, Linear or LSTM that is not left out, "
            f"got none of {', '.join(layers) or 'these kinds'}."
        )
    return left


def names_by_root(roots: Sequence[nn.Module], layers: Named) -> list[dict[str, str]]:
    """Say which layer lies in which root.

    Args:
        roots: The modules given to the tracker.
        layers: By Delve's names.

    Returns:
        Of each root, fathom's name of a layer to Delve's: of a layer with several, the first.

    Raises:
        ArgumentError: If a layer lies in none.
    """
    wanted: dict[nn.Module, str] = {}
    for name, layer in layers.items():
        wanted.setdefault(layer, name)
    found = []
    for root in roots:
        inside = {
            facts.name: wanted.pop(module)
            for facts, module in all_modules(unwrapped(root))
            if module in wanted
        }
        found.append(inside)
    if wanted:
        raise ArgumentError(
            "SaturationTracker: layer_filter must return layers of the modules, got "
            f"{next(iter(wanted.values()))!r}, which lies in none of them."
        )
    return found
