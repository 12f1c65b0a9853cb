"""A layer's output -> rows (n, d): one function a shape of output.

Each takes the output, how many samples may still count, and which positions are real, and returns
the rows with the number of samples behind them. What it returns may share memory with the output,
which an in-place activation is about to overwrite: it is to be used before the hook returns.
"""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from fathom.capture.masks import aligned, last_real
from fathom.errors import ShapeError

_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Rows(NamedTuple):
    """What one call of a layer adds.

    Attributes:
        values: (n, d), n observations of d features; or (b, *space, d), one at every position.
        samples: Independent items (images, sequences) behind them.
        keep: (n,) or (b, *space) bool, the rows that are no padding; None for all.
        batch_axis: Where samples lie in `values`.
        gathered: How many numbers were read already to make them; 0 where they are only a view.
        owners: (n,) int64, the sample of each row, where samples do not lie along an axis.
        labels: The class of each sample, where it was given: along `batch_axis`, or as `owners`
            counts them.
    """

    values: Tensor
    samples: int
    keep: Tensor | None = None
    batch_axis: int = 0
    gathered: int = 0
    owners: Tensor | None = None
    labels: Tensor | None = None


Reader = Callable[[Any, int | None, Tensor | None], Rows]
"""A layer's output, the samples that may still count (None: all), the real positions -> rows."""


def first_samples(rows: Rows, limit: int | None) -> Rows:
    """Return the rows of the first samples.

    Args:
        rows: Of some samples.
        limit: Take at most so many; None for all.

    Returns:
        Views; all of packed sequences, whose rows do not lie by samples.
    """
    if limit is None or rows.values.shape[rows.batch_axis] != rows.samples:
        return rows
    keep = None if rows.keep is None else _first(rows.keep, rows.batch_axis, limit)
    values = _first(rows.values, rows.batch_axis, limit)
    rows = rows._replace(values=values, keep=keep, samples=min(rows.samples, limit))
    return of_samples(rows, slice(limit))


def of_samples(rows: Rows, part: slice) -> Rows:
    """Return rows with what is known of their samples, after a part of these was taken.

    Args:
        rows: With the values of that part already.
        part: Along the batch axis.

    Returns:
        The owners and the labels of the same part.
    """
    if rows.owners is not None:
        return rows._replace(owners=rows.owners[part])
    return rows if rows.labels is None else rows._replace(labels=rows.labels[part])


def main_output(output: Any) -> Any:
    """Return the part of an output that holds the representation.

    Args:
        output: As a module returned it.

    Returns:
        A tensor (or a packed sequence) as it is; of a tuple or list the first item; of a dict, such
        as Hugging Face's ModelOutput, `last_hidden_state`, else `logits`, else the first tensor.
    """
    if isinstance(output, Mapping):
        name = _main_name(output)
        return output if name is None else output[name]
    if isinstance(output, list | tuple) and output and not isinstance(output, PackedSequence):
        return output[0]
    return output


def with_main_output(output: Any, main: Any) -> Any:
    """Return an output with another representation in it.

    Args:
        output: As a module returned it; it is not changed.
        main: Takes the place of what `main_output` returns.

    Returns:
        An output of the same type, with all else as it is.
    """
    if isinstance(output, Mapping):
        replaced = copy(output)
        replaced[_main_name(output)] = main  # type: ignore[index]
        return replaced
    if isinstance(output, list | tuple) and output and not isinstance(output, PackedSequence):
        items = [main, *output[1:]]
        # A named tuple takes its items apart.
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    return main


def _main_name(output: Mapping[Any, Any]) -> Any:
    """Return the name of the representation in a dict; None where it holds no tensor."""
    for name in ("last_hidden_state", "logits"):
        if isinstance(output.get(name), Tensor):
            return name
    return next((name for name, each in output.items() if isinstance(each, Tensor)), None)


def features_last(
    output: Any,
    limit: int | None = None,
    mask: Tensor | None = None,
    *,
    batch_axis: int = 0,
    sequences: bool = False,
) -> Rows:
    """Take every leading position as a row: tokens of (b, t, d) are b·t rows.

    Args:
        output: (..., d).
        limit: Take at most so many samples.
        mask: (b, t) bool, the real positions.
        batch_axis: Where samples lie in an output of three dimensions or more.
        sequences: Whether an output of two dimensions is one sequence, (t, d), and so one sample.

    Returns:
        (..., d) rows of the samples; a single (d,) is one row of one sample.

    Raises:
        ShapeError: If the output has no features, or is no tensor.
    """
    tensor = _tensor(output)
    if tensor.is_nested:
        # Sequences of their true lengths, as torch's own transformer passes them on.
        parts = tensor.unbind()[:limit]
        values = torch.cat(parts)
        lengths = torch.tensor([len(part) for part in parts], device="cpu")
        owners = torch.arange(len(parts), device="cpu").repeat_interleave(lengths)
        return Rows(values, len(parts), gathered=values.numel(), owners=owners)
    if tensor.ndim == 0 or tensor.shape[-1] == 0:
        raise ShapeError(
            f"rows: output must have shape (..., d) with d >= 1, got {tuple(tensor.shape)}."
        )
    if tensor.ndim == 1 or (tensor.ndim == 2 and sequences):
        batch_axis, tensor = 0, tensor[None]
    axis = batch_axis if tensor.ndim > 2 else 0
    keep = aligned(mask, tensor.shape[:-1], sequence_first=axis == 1)
    if keep is not None:
        keep = _first(keep.reshape(tensor.shape[:-1]), axis, limit)
    tensor = _first(tensor, axis, limit)
    return Rows(tensor, tensor.shape[axis], keep, batch_axis=axis)


def channels_second(
    output: Any,
    limit: int | None = None,
    mask: Tensor | None = None,
    *,
    space: int | None = None,
    method: str = "positions",
    downsample: int | None = None,
) -> Rows:
    """Take the rows of a feature map, by one of five methods.

    Args:
        output: (b, c, *space), or (c, *space) of a single image.
        limit: Take at most so many samples.
        mask: Not used; masks are of tokens.
        space: How many dimensions the map has; None for as many as the output has.
        method: `positions` for b·prod(space) rows of c; `mean`, `max` or `median` over the
            positions for b rows of c; `flatten` for b rows of c·prod(space).
        downsample: Reduce larger maps to at most so many positions a side, by linear
            interpolation, first.

    Returns:
        Rows of the samples.

    Raises:
        ShapeError: If the output has another number of dimensions, or is no tensor.
    """
    maps = _tensor(output)
    if space is not None and maps.ndim == space + 1:
        maps = maps[None]
    if maps.ndim < 2 or (space is not None and maps.ndim != space + 2):
        raise ShapeError(f"rows: output must have shape (b, c, *space), got {tuple(maps.shape)}.")
    maps = _first(maps, 0, limit)
    gathered = maps.numel()
    if maps.shape[0] == 0 and method != "flatten":
        return Rows(maps.new_empty(0, maps.shape[1]), 0)
    if downsample is not None:
        maps = _shrink(maps, downsample)
    samples, channels = maps.shape[:2]
    if method == "positions":
        return Rows(maps.movedim(1, -1), samples, gathered=0 if downsample is None else gathered)
    if method == "flatten":
        return Rows(maps.reshape(samples, maps.shape[1:].numel()), samples)
    pooled = _pool(maps.reshape(samples, channels, -1), method)
    return Rows(pooled, samples, gathered=gathered)


def recurrent(
    output: Any,
    limit: int | None = None,
    mask: Tensor | None = None,
    *,
    batch_first: bool = False,
    timesteps: str = "all",
) -> Rows:
    """Take every step of a recurrent layer as a row, or each sequence's last real step.

    Args:
        output: The sequence of hidden states: (b, t, d), (t, b, d) or (t, d) of a single one, or
            packed, and then it counts by its true lengths.
        limit: Take at most so many samples.
        mask: (b, t) bool, the real positions of an output that is not packed.
        batch_first: Whether b comes before t.
        timesteps: `all` or `last`.

    Returns:
        Rows of the hidden size (of both directions, where there are two).
    """
    if isinstance(output, PackedSequence):
        return _packed(output, limit, timesteps)
    sequence = _tensor(output)
    if sequence.ndim == 2:
        sequence = sequence[None]
    elif not batch_first:
        sequence = sequence.transpose(0, 1)
    fits = mask is not None and mask.shape == sequence.shape[:2]
    sequence = _first(sequence, 0, limit)
    samples = len(sequence)
    if mask is not None and fits:
        mask = _first(mask, 0, limit)
        if timesteps == "last":
            places = torch.arange(samples, device=sequence.device)
            return Rows(sequence[places, last_real(mask)], samples, mask.any(1))
        return Rows(sequence, samples, mask)
    if timesteps == "last":
        sequence = sequence[:, -1]
    return Rows(sequence, samples)


def _packed(sequence: PackedSequence, limit: int | None, timesteps: str) -> Rows:
    # The data hold step 0 of all sequences, longest first, then step 1 of those that have one, ...
    # batch_sizes says how many have each step.
    sizes = sequence.batch_sizes
    samples = int(sizes[0]) if limit is None else min(int(sizes[0]), limit)
    starts = sizes.cumsum(0) - sizes
    place = torch.arange(len(sequence.data), device=sizes.device) - starts.repeat_interleave(sizes)
    kept = place < samples
    if timesteps == "last":
        following = torch.cat([sizes[1:], sizes.new_zeros(1)])
        kept &= place >= following.repeat_interleave(sizes)
    values = sequence.data
    if kept.all():
        return Rows(values, samples, owners=place)
    return Rows(values[kept.to(values.device)], samples, owners=place[kept])


def _tensor(tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ShapeError(f"rows: output must be a tensor, got {type(tensor).__name__}.")
    if tensor.layout not in (torch.strided, torch.jagged):
        raise ShapeError(f"rows: output must be a strided tensor, got layout {tensor.layout}.")
    return tensor.detach()


def _first(tensor: Tensor, axis: int, limit: int | None) -> Tensor:
    if limit is None or tensor.shape[axis] <= limit:
        return tensor
    return tensor.narrow(axis, 0, limit)


def _shrink(maps: Tensor, side: int) -> Tensor:
    space = maps.shape[2:]
    smaller = [min(length, side) for length in space]
    if smaller == list(space):
        return maps
    if len(space) not in _INTERPOLATION:
        raise ShapeError(
            f"rows: space to downsample must have 1 to 3 dimensions, got {tuple(space)}."
        )
    return functional.interpolate(
        _at_least_float32(maps), size=smaller, mode=_INTERPOLATION[len(space)]
    )


def _pool(maps: Tensor, method: str) -> Tensor:
    """Return (b, c) of (b, c, positions)."""
    if method == "max":
        return maps.amax(-1)
    maps = _at_least_float32(maps)
    if method == "mean":
        return maps.mean(-1)
    # torch.median takes the lower of the two in the middle.
    positions = maps.shape[-1]
    middle = (maps.kthvalue((positions + 1) // 2)[0], maps.kthvalue(positions // 2 + 1)[0])
    # Sorting puts NaN last, where it would leave the middle as if it were a large number.
    return ((middle[0] + middle[1]) / 2).masked_fill(maps.isnan().any(-1), torch.nan)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
