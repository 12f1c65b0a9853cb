"""Which positions of a batch are real: padding does not count."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


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
        if not self.marks_padding:
            return self.tensor != 0
        # As a number, it is added to the logits: 0 where nothing is masked.
        return ~self.tensor if self.tensor.dtype == torch.bool else self.tensor == 0


class Masks(NamedTuple):
    """The masks of one call of the root.

    Attributes:
        encoder: Of the encoder's sequence or, of a model with one side, the only one.
        decoder: Of the decoder's sequence.
    """

    encoder: Mask | None = None
    decoder: Mask | None = None


class Call:
    """The present call of the root, where compiled hooks find its masks."""

    masks = Masks()


# Name of the argument, whether it marks padding.
_ENCODER = (
    ("attention_mask", False),
    ("src_key_padding_mask", True),
    ("key_padding_mask", True),
)
_DECODER = (("decoder_attention_mask", False), ("tgt_key_padding_mask", True))


def masks_among(arguments: Mapping[str, Any]) -> Masks:
    """Find the padding masks among the arguments of the root; this computes nothing.

    Args:
        arguments: By name.

    Returns:
        The masks of two dimensions, (b, t); others say who attends to whom, not what is real.
    """
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
        (n,) bool for the n rows of the output; None where the output has other positions than the
        mask, and all of them count.
    """
    if mask is None:
        return None
    mask = mask.T if sequence_first else mask
    if shape[:2] == mask.shape:
        extra = len(shape) - 2
        return mask.reshape(*mask.shape, *([1] * extra)).expand(shape).reshape(-1)
    # The tokens of a batch in one row each, as routers of experts take them.
    return mask.reshape(-1) if tuple(shape) == (mask.numel(),) else None


def last_real(mask: Tensor) -> Tensor:
    """Return the mask of each sequence's last real position.

    Args:
        mask: (b, t) bool.

    Returns:
        (b, t) bool, with at most one True a sequence.
    """
    following = mask.flip(1).cumsum(1).flip(1)
    return mask & (following == 1)
