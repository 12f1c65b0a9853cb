"""Which modules are watched, of what kind each is, and how its output is read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from fathom.capture.rows import Reader, channels_second, features_last, recurrent
from fathom.errors import LayerSelectionError
from fathom.settings import Settings
from fathom.snapshot import LayerFacts

LayerFilter = Sequence[str] | Callable[[str, nn.Module], bool]
"""Glob patterns on qualified names (`!` before one takes away), or a predicate."""

WIDEST = 16_384
"""The widest layer that is watched without being named: its scatter takes 2 GiB."""

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_LAST_NORMS = (nn.LayerNorm, nn.RMSNorm)
_CHANNEL_NORMS = (_NormBase, nn.GroupNorm, nn.LocalResponseNorm)
_TRANSFORMERS = (
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
_CONV_WORDS = {
    "positions": "every position",
    "mean": "mean over positions",
    "max": "maximum over positions",
    "median": "median over positions",
    "flatten": "whole maps",
}
_KNOWN_KINDS = ("linear", "convolution", "recurrent", "attention")


@dataclass(frozen=True, slots=True)
class Layer:
    """A watched module.

    Attributes:
        facts: Its name, kind, width and aliases.
        module: The module itself.
        rows: What is a row, in words.
        read: How its output becomes rows.
    """

    facts: LayerFacts
    module: nn.Module
    rows: str
    read: Reader


def known_layers(model: nn.Module) -> list[LayerFacts]:
    """Return every module of a kind that fathom watches unasked, in order of registration.

    Args:
        model: The root.

    Returns:
        Linear, convolutional, recurrent and attention layers. Parts of an attention module are
        left out: their weights are used without a call.
    """
    inside_attention = {
        id(part)
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention)
        for part in module.modules()
        if part is not module
    }
    return [
        facts
        for facts, module in _all_modules(model)
        if facts.kind in _KNOWN_KINDS and id(module) not in inside_attention
    ]


def select_layers(model: nn.Module, layers: LayerFilter | None, settings: Settings) -> list[Layer]:
    """Find the layers to watch.

    An exact name takes any module. A pattern takes the known layers that it matches and, where it
    matches none of those, every module that it matches.

    Args:
        model: The root.
        layers: None for every known layer, glob patterns, or a predicate `(name, module) -> bool`.
        settings: How outputs are read.

    Returns:
        The layers, in order of registration, each module once.

    Raises:
        LayerSelectionError: If nothing matches, or a layer is too wide to be watched unasked.
    """
    everything = _all_modules(model)
    if layers is not None and not callable(layers):
        layers = [layers] if isinstance(layers, str) else list(layers)
    if layers is None:
        chosen = {facts.name for facts in known_layers(model)}
        if not chosen:
            raise LayerSelectionError(
                "watch: model must have a linear, convolutional, recurrent or attention layer, "
                f"got {type(model).__name__} with none. Name modules with layers=[...]."
            )
    elif callable(layers):
        chosen = {facts.name for facts, module in everything if layers(facts.name, module)}
        if not chosen:
            raise LayerSelectionError(
                "watch: layers must select at least one module, got a predicate that is true of "
                f"none of {len(everything)}. It is called with (name, module)."
            )
    else:
        chosen = _match(layers, [facts for facts, _ in everything], known_layers(model))
    # Exact names alone say that somebody meant this very layer.
    named = set() if layers is None or callable(layers) else set(layers)
    for facts, _ in everything:
        if facts.name in chosen and not named.intersection({facts.name, *facts.aliases}):
            _refuse_wide(facts)
    sequence_first = _sequence_first(model)
    return [
        Layer(
            facts, module, *_reader(module, settings, sequence_first=id(module) in sequence_first)
        )
        for facts, module in everything
        if facts.name in chosen
    ]


def _all_modules(model: nn.Module) -> list[tuple[LayerFacts, nn.Module]]:
    """Return every module once, with all its names; the root's name is empty."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    return [
        (
            LayerFacts(
                name=first,
                kind=_kind(module),
                module=type(module).__name__,
                width=_width(module),
                aliases=tuple(aliases),
            ),
            module,
        )
        for module, (first, *aliases) in names.items()
    ]


def _match(
    patterns: Iterable[str], everything: list[LayerFacts], known: list[LayerFacts]
) -> set[str]:
    chosen: set[str] = set()
    for pattern in patterns:
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
                f"watch: layers must match a module, got {pattern!r} that matches none. "
                f"Nearest names: {', '.join(nearest) or 'none'}."
            )
        chosen |= found
    if not chosen:
        raise LayerSelectionError(
            f"watch: layers must select at least one module, got {list(patterns)!r}. "
            'Patterns with "!" take away from those before them: layers=["*", "!lm_head"].'
        )
    return chosen


def _names_matching(pattern: str, candidates: list[LayerFacts]) -> set[str]:
    return {
        facts.name
        for facts in candidates
        if any(fnmatchcase(name, pattern) for name in (facts.name, *facts.aliases))
    }


def _refuse_wide(facts: LayerFacts) -> None:
    if facts.width is not None and facts.width > WIDEST:
        gibibytes = 8 * facts.width**2 / 2**30
        raise LayerSelectionError(
            f"watch: a layer must be at most {WIDEST:,} wide unless layers names it, got "
            f"{facts.name} of width {facts.width:,}: {gibibytes:,.0f} GiB of memory a phase. Leave "
            f'it out with layers=["*", "!{facts.name}"], or name it: layers=["{facts.name}"].'
        )


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Linear) or _is_hugging_face_conv1d(module):
        return "linear"
    if isinstance(module, _CONVOLUTIONS):
        return "convolution"
    if isinstance(module, nn.RNNBase):
        return "recurrent"
    if isinstance(module, nn.MultiheadAttention):
        return "attention"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    if isinstance(module, (*_LAST_NORMS, *_CHANNEL_NORMS)):
        return "normalisation"
    return "other"


def _width(module: nn.Module) -> int | None:
    width: object = None
    if _is_hugging_face_conv1d(module):
        width = getattr(module, "nf", None)
    elif isinstance(module, nn.RNNBase):
        hidden = module.proj_size or module.hidden_size
        width = hidden * (2 if module.bidirectional else 1)
    elif isinstance(module, _LAST_NORMS):
        width = module.normalized_shape[-1]
    else:
        for attribute in (
            "out_features",
            "out_channels",
            "embed_dim",
            "embedding_dim",
            "num_features",
            "num_channels",
        ):
            width = width or getattr(module, attribute, None)
    # A lazy module has width 0 until its first input.
    return width if isinstance(width, int) and width > 0 else None


def _is_hugging_face_conv1d(module: nn.Module) -> bool:
    """Tell the linear layer of GPT-2, whose weight is transposed, without importing its package."""
    return not isinstance(module, nn.Conv1d) and any(
        base.__name__ == "Conv1D" for base in type(module).__mro__
    )


def _reader(module: nn.Module, settings: Settings, *, sequence_first: bool) -> tuple[str, Reader]:
    """Return what is a row of a module, in words, and the function that takes them."""
    if isinstance(module, nn.RNNBase):
        words = "every time step" if settings.timesteps == "all" else "last time step"
        read = partial(recurrent, batch_first=module.batch_first, timesteps=settings.timesteps)
        return words, read
    if isinstance(module, (*_CONVOLUTIONS, *_CHANNEL_NORMS)):
        read = partial(
            channels_second,
            space=len(module.kernel_size) if isinstance(module, _CONVOLUTIONS) else None,
            method=settings.conv,
            downsample=settings.downsample,
        )
        return _CONV_WORDS[settings.conv], read
    attention = isinstance(module, nn.MultiheadAttention)
    if isinstance(module, nn.MultiheadAttention):
        sequence_first = not module.batch_first
    axis = 1 if sequence_first else 0
    return "every position", partial(features_last, batch_axis=axis, sequences=attention)


def _sequence_first(model: nn.Module) -> set[int]:
    """Return torch's own transformers, and their parts, that were built with (t, b, d)."""
    return {
        id(part)
        for module in model.modules()
        if isinstance(module, _TRANSFORMERS)
        and any(
            isinstance(part, nn.MultiheadAttention) and not part.batch_first
            for part in module.modules()
        )
        for part in module.modules()
    }
