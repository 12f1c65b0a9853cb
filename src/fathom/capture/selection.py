"""Which modules are watched: names, patterns, predicates -> layers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import MappingProxyType

from torch import nn

from fathom.capture.layers import Layer, Pick, all_modules, known_layers, watchable
from fathom.capture.modules import plain_name
from fathom.errors import LayerSelectionError
from fathom.reading import LayerFacts
from fathom.settings import Settings

LayerFilter = Sequence[str] | Callable[[str, nn.Module], bool]
"""Glob patterns on qualified names (`!` before one takes away), or a predicate."""


def select_layers(
    model: nn.Module,
    layers: LayerFilter | None,
    settings: Settings,
    outputs: Mapping[str, Pick] = MappingProxyType({}),
    *,
    where: str = "watch",
) -> list[Layer]:
    """Find the layers to watch.

    An exact name takes any module. A pattern takes the known layers that it matches and, where it
    matches none of those, every module that it matches.

    Args:
        model: The root.
        layers: None for every known layer, glob patterns, or a predicate `(name, module) -> bool`.
        settings: How outputs are read.
        outputs: Glob patterns, with the function that picks the output of the layers they match.
        where: The function, for messages.

    Returns:
        The layers, in order of registration, each module once.

    Raises:
        LayerSelectionError: If nothing matches, or a pattern of `outputs` matches no watched layer.
    """
    everything = all_modules(model)
    if layers is not None and not callable(layers):
        layers = [layers] if isinstance(layers, str) else list(layers)
    if layers is None:
        chosen = {facts.name for facts in known_layers(model)}
        if not chosen:
            raise LayerSelectionError(
                f"{where}: model must have a linear, convolutional, recurrent or attention layer, "
                f"got {type(model).__name__} with none. Name modules with layers=[...]."
            )
    elif callable(layers):
        chosen = {facts.name for facts, module in everything if layers(facts.name, module)}
        if not chosen:
            raise LayerSelectionError(
                f"{where}: layers must select at least one module, got a predicate that is true of "
                f"none of {len(everything)}. It is called with (name, module)."
            )
    else:
        chosen = _match(layers, [facts for facts, _ in everything], known_layers(model), where)
    picks = _picks(outputs, [facts for facts, _ in everything if facts.name in chosen])
    return watchable(model, chosen, settings, picks)


def _match(
    patterns: Iterable[str], everything: list[LayerFacts], known: list[LayerFacts], where: str
) -> set[str]:
    chosen: set[str] = set()
    for pattern in map(plain_name, patterns):
        if pattern.startswith("!"):
            chosen -= _names_matching(pattern[1:], everything)
            continue
        exact = {facts.name for facts in everything if pattern in (facts.name, *facts.aliases)}
        found = exact or _names_matching(pattern, known) or _names_matching(pattern, everything)
        if not found:
            names = [name for facts in everything for name in (facts.name, *facts.aliases)]
            nearest = get_close_matches(pattern, names, n=3, cutoff=0.3)
            nearest = nearest or [facts.name for facts in known[:3]]
            raise LayerSelectionError(
                f"{where}: layers must match a module, got {pattern!r} that matches none. "
                f"Nearest names: {', '.join(nearest) or 'none'}."
            )
        chosen |= found
    if not chosen:
        raise LayerSelectionError(
            f"{where}: layers must select at least one module, got {list(patterns)!r}. "
            'Patterns with "!" take away from those before them: layers=["*", "!lm_head"].'
        )
    return chosen


def _picks(outputs: Mapping[str, Pick], watched: list[LayerFacts]) -> dict[str, Pick]:
    picks: dict[str, Pick] = {}
    for pattern, pick in outputs.items():
        found = _names_matching(pattern, watched)
        if not found:
            raise LayerSelectionError(
                f"watch: outputs must name watched layers, got {pattern!r} that matches none. "
                f"Watched are: {', '.join(facts.name for facts in watched[:10])}."
            )
        if not callable(pick):
            raise LayerSelectionError(
                f"watch: outputs must give a function for {pattern!r}, got {pick!r}. "
                f'Pass outputs={{"{pattern}": lambda output: output[0]}}.'
            )
        picks |= dict.fromkeys(found, pick)
    return picks


def _names_matching(pattern: str, candidates: list[LayerFacts]) -> set[str]:
    return {
        facts.name
        for facts in candidates
        if any(fnmatchcase(name, pattern) for name in (facts.name, *facts.aliases))
    }
