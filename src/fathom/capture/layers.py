"""What fathom knows of modules: of what kind each is, and how its output is read."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from fathom.capture.masks import MASK_NAMES, argument_names
from fathom.capture.modules import around, modules_by_name
from fathom.capture.rows import Reader, channels_second, features_last, main_output, recurrent
from fathom.capture.sharded import class_of
from fathom.reading import LayerFacts
from fathom.settings import Settings

Pick = Callable[[Any], Any]
"""What a module returned -> the tensor, features last, that is its output."""

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
    "positions": "a position",
    "mean": "mean over positions",
    "max": "maximum over positions",
    "median": "median over positions",
    "flatten": "a whole map",
}
_CROSS_ATTENTION = re.compile(r"encdec|encoder_attn|cross_?att", re.IGNORECASE)
_OF_SOURCE = re.compile(r"(^|_)(src|source|enc)", re.IGNORECASE)
_KNOWN_KINDS = ("linear", "convolution", "recurrent", "attention")


@dataclass(frozen=True, slots=True)
class Layer:
    """A watched module.

    Attributes:
        facts: Its name, kind, width and aliases.
        module: The module itself.
        rows: What is a row, in words.
        read: How its output becomes rows.
        pick: Which part of what the module returns is its output.
        side: Whose sequence it works on: `encoder`, `decoder`, or `only` in a model with one side.
    """

    facts: LayerFacts
    module: nn.Module
    rows: str
    read: Reader
    pick: Pick = main_output
    side: str = "only"

    def home(self) -> torch.device:
        """Return where to keep moments until the first rows tell: with the layer's parameters."""
        parameter = next(self.module.parameters(), None)
        return home_of(torch.device("cpu") if parameter is None else parameter.device)


def home_of(device: torch.device) -> torch.device:
    """Return where moments of rows on a device are kept; Apple's GPUs hold no float64.

    Args:
        device: Of the rows.

    Returns:
        The same, or the CPU.
    """
    return torch.device("cpu") if device.type in ("mps", "meta") else device


def known_layers(model: nn.Module) -> list[LayerFacts]:
    """Return every module of a kind that fathom watches unasked, in order of registration.

    Args:
        model: The root.

    Returns:
        Linear, convolutional, recurrent and attention layers. Parts of an attention module are
        left out: their weights are used without a call.
    """
    modules = modules_by_name(model)
    return [
        facts
        for facts, module in all_modules(model)
        if facts.kind in _KNOWN_KINDS and not is_inside_attention(facts.name, modules)
    ]


def is_inside_attention(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """Tell whether a module is a part of `nn.MultiheadAttention`, which uses weights uncalled.

    Args:
        name: Of the module.
        modules: Every module of the root by name.

    Returns:
        True for the projections inside.
    """
    return any(isinstance(module, nn.MultiheadAttention) for module in around(name, modules))


def all_modules(model: nn.Module) -> list[tuple[LayerFacts, nn.Module]]:
    """Return every module once, with all its names.

    Args:
        model: The root, whose own name is empty.

    Returns:
        In order of registration.
    """
    names: dict[nn.Module, list[str]] = {}
    for name, module in modules_by_name(model).items():
        names.setdefault(module, []).append(name)
    return [
        (
            LayerFacts(
                name=first,
                kind=_kind(module),
                module=class_of(module).__name__,
                width=_width(module),
                aliases=tuple(aliases),
            ),
            module,
        )
        for module, (first, *aliases) in names.items()
    ]


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


def watchable(
    model: nn.Module, names: Collection[str], settings: Settings, picks: Mapping[str, Pick]
) -> list[Layer]:
    """Return the layers of some names, with all that is known of how to read them.

    Args:
        model: The root.
        names: First names of modules.
        settings: How outputs are read.
        picks: Which part of an output to read, by name, where it is not the main one.

    Returns:
        The layers, in order of registration.
    """
    everything = all_modules(model)
    sequence_first = _sequence_first(model)
    sides = _two_sided(modules_by_name(model))
    layers = []
    for facts, module in everything:
        if facts.name in names:
            rows, read = _reader(module, settings, sequence_first=sequence_first)
            pick = picks.get(facts.name, main_output)
            if facts.kind == "convolution" and settings.conv == "flatten":
                # As wide as the whole map, whose size only the first call tells.
                facts = replace(facts, width=None)
            side = "only" if sides is None else _side(facts.name, parent=sides)
            layers.append(Layer(facts, module, rows, read, pick, side))
    return layers


def parts_with_masks(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return the parts of a model that a user may call with masks of their own.

    Such as the encoder, which `generate()` calls by itself, or the model below a head.

    Args:
        model: The root.

    Returns:
        Modules outside of stacks of layers, each with its side, as in `Layer`.
    """
    modules = modules_by_name(model)
    parent = _two_sided(modules)
    return [
        (
            module,
            # What holds both sides has the arguments of a root.
            "only"
            if parent is None or parent.startswith(f"{name}.")
            else _side(name, parent=parent),
        )
        for name, module in modules.items()
        if name
        and not any(part.isdigit() for part in name.split("."))
        and not isinstance(module, nn.MultiheadAttention)
        and MASK_NAMES.intersection(argument_names(module))
    ]


def map_axis(module: nn.Module, dimensions: int) -> int | None:
    """Return which axis of a module's output has the channels, if it is a feature map.

    Args:
        module: The module.
        dimensions: Of its output, which may be that of a single image.

    Returns:
        The axis; None for all whose features are last.
    """
    if isinstance(module, _CONVOLUTIONS):
        return dimensions - len(module.kernel_size) - 1
    return 1 if isinstance(module, _CHANNEL_NORMS) else None


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
    return "a position", partial(features_last, batch_axis=axis, sequences=attention)


def _sequence_first(model: nn.Module) -> bool:
    """Tell whether torch's own attention was built with (t, b, d): all of the model then has it."""
    return any(
        isinstance(part, nn.MultiheadAttention) and not part.batch_first
        for module in model.modules()
        if isinstance(module, _TRANSFORMERS)
        for part in module.modules()
    )


def _two_sided(modules: Mapping[str, nn.Module]) -> str | None:
    """Return the path before the encoder and the decoder of a model that takes two sequences."""
    for name in modules:
        parent, _, last = name.rpartition("encoder")
        if last or not (parent == "" or parent.endswith(".")) or f"{parent}decoder" not in modules:
            continue
        # A wrapper of any arguments may lie around the module that has two.
        within = (*around(name, modules), modules[name])
        arguments = (each for module in within for each in argument_names(module))
        if any(each.startswith(("decoder", "tgt")) for each in arguments):
            return parent
    return None


def _side(name: str, *, parent: str) -> str:
    *path, last = name.removeprefix(parent).split(".")
    top = [*path, last][0]
    if top == "encoder" or _OF_SOURCE.search(top):
        return "encoder"
    # A decoder's cross-attention makes its keys and values of the encoder's sequence. What is on
    # neither side, such as a head, comes after the decoder.
    crosses = any(_CROSS_ATTENTION.search(part) for part in path)
    return "encoder" if crosses and last.startswith(("k", "v", "c_attn")) else "decoder"
