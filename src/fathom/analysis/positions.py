"""A layer's output -> features at each position of each sample."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_sequence

from fathom.capture.layers import Layer
from fathom.capture.rows import Rows


class Positions(NamedTuple):
    """What a layer gave for a batch.

    Attributes:
        values: (b, p, d), d features at each of p positions of each sample; p is 1 without any.
        keep: (b, p) bool, the positions that are no padding; None for all.
    """

    values: Tensor
    keep: Tensor | None


def positions_of(layer: Layer, output: Any, real: Tensor | None) -> Positions:
    """Take a layer's output apart by sample, in the order of the batch.

    Args:
        layer: The layer.
        output: What it returned of a batch, as `Layer.pick` gives it: a tensor, sequences of their
            own lengths (packed, or nested), or anything else that it can read.
        real: (b, t) bool, the real positions; None for all.

    Returns:
        Views as far as it goes.

    Raises:
        ShapeError: If the layer cannot read it.
    """
    rows = layer.read(output, None, real)
    if rows.owners is not None:
        return _padded(rows, rows.owners, output, real)
    values = rows.values.movedim(rows.batch_axis, 0)
    keep = rows.keep
    if keep is not None:
        keep = keep.movedim(rows.batch_axis, 0).reshape(len(values), -1)
    return Positions(values.reshape(len(values), -1, values.shape[-1]), keep)


def _padded(rows: Rows, owners: Tensor, output: Any, real: Tensor | None) -> Positions:
    """Lay out rows that do not lie by sample, as far as the mask is wide."""
    values, samples = rows.values, rows.samples
    counts = torch.bincount(owners, minlength=samples)
    parts = list(values[owners.argsort(stable=True).to(values.device)].split(counts.tolist()))
    if isinstance(output, PackedSequence) and output.unsorted_indices is not None:
        # Packing has sorted the sequences by length.
        order = output.unsorted_indices.cpu()
        parts, counts = [parts[place] for place in order.tolist()], counts[order]
    padded = pad_sequence(parts, batch_first=True)
    if real is not None and len(real) == samples and real.shape[1] > padded.shape[1]:
        padded = torch.nn.functional.pad(padded, (0, 0, 0, real.shape[1] - padded.shape[1]))
    if padded.shape[1] == 1:
        return Positions(padded, None)
    keep = torch.arange(padded.shape[1]) < counts[:, None]
    return Positions(padded, keep.to(padded.device))
