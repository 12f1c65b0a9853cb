"""Which positions of a batch are real: padding does not count."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fathom.errors import ArgumentError, warn
from fathom.reading import LayerFacts


class Mask(NamedTuple):
    """A mask as it came.

    Attributes:
        tensor: (b, t), of any type.
        marks_padding: Whether True marks padding, as in torch's own transformers; in Hugging Face's
            models 1 marks what is real.
    """

    tensor: Tensor
    marks_padding: bool

    def real(self) -> Tensor:
        """Return (b, t) bool, True at real positions."""
        if self.tensor.is_floating_point():
            # 1 and 0, or a number that is added to the logits, 0 where nothing is masked.
            additive = (self.tensor <= 0).all()
            return torch.where(additive, self.tensor == 0, (self.tensor != 0) ^ self.marks_padding)
        return (self.tensor != 0) ^ self.marks_padding


class Masks(NamedTuple):
    """The masks of one call of the root.

    Attributes:
        encoder: Of the encoder's sequence or, of a model with one side, the only one.
        decoder: Of the decoder's sequence.
    """

    encoder: Mask | None = None
    decoder: Mask | None = None

    def of(self, side: str) -> Mask | None:
        """Return the mask of a layer's sequence.

        Args:
            side: `encoder`, `decoder`, or `only` in a model with one side.
        """
        if side == "only":
            return self.decoder if self.encoder is None else self.encoder
        return self.decoder if side == "decoder" else self.encoder


def given_masks(mask: Tensor, decoder: Tensor | None) -> Masks:
    """Return the masks that a user gives by hand.

    Args:
        mask: (b, t), 1 or True at real positions; of the encoder, where there are two sides.
        decoder: (b, t) of the decoder.

    Raises:
        ArgumentError: If a mask has not two dimensions.
    """
    for name, given in (("mask", mask), ("decoder", decoder)):
        if given is None and name == "decoder":
            continue
        if not isinstance(given, Tensor) or given.ndim != 2:
            came = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ArgumentError(
                f"Monitor.mask: {name} must be a tensor of shape (b, t), got {came}. "
                "Pass one truth value a token."
            )
    return Masks(Mask(mask, False), None if decoder is None else Mask(decoder, False))


class Call:
    """The present call of the root, where hooks find its masks, in compiled graphs too.

    Attributes:
        masks: Of the present call; none outside of one.
        given: By hand, for the next call or the present one.
        inside: Whether the root is called just now, or a part of it whose own masks count.
        part: The number of that part's hook; None of the root.
    """

    def __init__(self) -> None:
        """Begin outside of any call."""
        self.given: Masks | None = None
        self.masks = Masks()
        self.inside = False
        self.part: int | None = None


def argument_names(model: nn.Module) -> list[str]:
    """Return the names of the arguments of a module's forward, in order.

    Args:
        model: The module.

    Returns:
        The names; none where the forward does not tell.
    """
    try:
        return list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        return []


# Name of the argument, whether it marks padding.
_ENCODER = (
    ("attention_mask", False),
    ("src_key_padding_mask", True),
    ("key_padding_mask", True),
)
_DECODER = (("decoder_attention_mask", False), ("tgt_key_padding_mask", True))
# Of a decoder alone, whose own sequence is the first.
_DECODER_OWN = (("attention_mask", False), ("tgt_key_padding_mask", True))
_DECODER_OTHER = (("encoder_attention_mask", False), ("memory_key_padding_mask", True))

MASK_NAMES = frozenset(name for name, _ in (*_ENCODER, *_DECODER))
"""The arguments that may be masks."""


def masks_among(arguments: Mapping[str, Any], *, side: str = "only") -> Masks:
    """Find the padding masks among the arguments of the root, or a part; this computes nothing.

    Args:
        arguments: By name.
        side: `decoder` for the decoder of a model with two sides.

    Returns:
        The masks of two dimensions, (b, t); others say who attends to whom, not what is real.
    """
    if side == "decoder":
        return Masks(_first_among(arguments, _DECODER_OTHER), _first_among(arguments, _DECODER_OWN))
    if arguments.get("query") is not arguments.get("key"):
        # Of attention to another sequence it tells of that one, and the output is of the queries.
        return Masks()
    return Masks(_first_among(arguments, _ENCODER), _first_among(arguments, _DECODER))


def _first_among(arguments: Mapping[str, Any], names: tuple[tuple[str, bool], ...]) -> Mask | None:
    for name, marks_padding in names:
        tensor = arguments.get(name)
        if isinstance(tensor, Tensor) and tensor.ndim == 2:
            return Mask(tensor, marks_padding)
    return None


def aligned(mask: Tensor | None, shape: torch.Size, *, sequence_first: bool) -> Tensor | None:
    """Lay a mask over the positions of an output.

    Args:
        mask: (b, t) bool, or None.
        shape: Of the output, without its features.
        sequence_first: Whether t comes before b in it.

    Returns:
        (n,) bool for the n rows of an output of (b, t) positions, or of b·t tokens in one row each,
        as routers of experts take them; None for any other, all of whose rows count.
    """
    if mask is None:
        return None
    mask = mask.T if sequence_first else mask
    return mask.reshape(-1) if shape in (mask.shape, (mask.numel(),)) else None


def told_of_misfit(mask: Mask, output: object, layer: LayerFacts) -> bool:
    """Say that a mask is of other positions than a layer's output has, if it is.

    Args:
        mask: Of the layer's sequence.
        output: Of the layer.
        layer: The layer.

    Returns:
        Whether it was said. An output without positions, or with a single one as in generation
        token by token, needs no mask, and a convolution's takes none.
    """
    if not isinstance(output, Tensor) or output.is_nested or output.ndim != 3:
        return False
    first, second = output.shape[:2]
    shape = mask.tensor.shape
    if second == 1 or (first == 1 and shape[0] > 1) or layer.kind == "convolution":
        return False
    if shape in ((first, second), (second, first)):
        return False
    warn(
        f"fathom: a mask of shape {tuple(shape)} does not fit the output of {layer.name}, of shape "
        f"{tuple(output.shape)}: padding counts there. Give one of its length with "
        "monitor.mask(...) before each call."
    )
    return True


def last_real(mask: Tensor) -> Tensor:
    """Return the place of each sequence's last real position.

    Args:
        mask: (b, t) bool.

    Returns:
        (b,) int64; 0 where no position is real.
    """
    return (mask * torch.arange(mask.shape[1], device=mask.device)).amax(1)
