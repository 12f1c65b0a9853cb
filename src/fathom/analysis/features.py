"""What a probe sees of a layer: one row of features a sample."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fathom.analysis.positions import positions_of
from fathom.capture.layers import Layer, map_axis
from fathom.errors import ShapeError

SIDE = 4
"""Positions a side that feature maps are pooled to (Richter et al. 2021)."""


class Features(NamedTuple):
    """The features of some samples.

    Attributes:
        values: (b, f) float32, on the CPU; memory of its own.
        copies: How often each column stands in the pooled map: one of 2×2 that is pooled to 4×4 has
            every number four times, and is kept without.
    """

    values: Tensor
    copies: int = 1


def features_of(layer: Layer, output: object, mask: Tensor | None) -> Features:
    """Turn a layer's output into one row a sample.

    Feature maps are average-pooled to 4×4 and flattened; the tokens of a sequence, the steps of a
    recurrent layer among them, are averaged over those that are real.

    Args:
        layer: The layer.
        output: What it returned of a batch, as `Layer.pick` gives it.
        mask: (b, t) bool, the real positions.

    Returns:
        A row a sample. A sequence without a real position has nan.

    Raises:
        ShapeError: If the output has no batch of samples.
    """
    axis = map_axis(layer.module, output.ndim) if isinstance(output, Tensor) else None
    if isinstance(output, Tensor) and axis is not None and output.ndim > 2:
        if axis != 1:
            raise ShapeError(
                f"probe: output must have shape (b, c, *space), got {tuple(output.shape)}."
            )
        return _pooled(output)
    return Features(_kept(_averaged(*positions_of(layer, output, mask))))


def _pooled(maps: Tensor) -> Features:
    """Pool (b, c, *space); what pooling to a finer grid would only repeat is kept once."""
    space = maps.shape[2:]
    if not 1 <= len(space) <= 3 or 0 in space:
        raise ShapeError(
            f"probe: space must have 1 to 3 dimensions, none empty, got {tuple(space)}."
        )
    sides = [side if side < SIDE and SIDE % side == 0 else SIDE for side in space]
    if sides != list(space):
        pool = getattr(functional, f"adaptive_avg_pool{len(space)}d")
        maps = pool(_float32(maps), sides)
    return Features(_kept(maps.flatten(1)), math.prod(SIDE // side for side in sides))


def _averaged(values: Tensor, keep: Tensor | None) -> Tensor:
    """Return (b, d) of (b, p, d), the mean over the positions that are kept."""
    if keep is None:
        return values[:, 0] if values.shape[1] == 1 else _float32(values).mean(1)
    weights = keep[..., None]
    # Where nothing is real this is 0/0: what is not known must not look like zeros.
    return _float32(values).masked_fill(~weights, 0).sum(1) / weights.sum(1)


def _float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _kept(tensor: Tensor) -> Tensor:
    # An activation in place is about to overwrite the output, whose memory this may be.
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
