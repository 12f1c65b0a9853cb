"""The user's data, a batch at a time: what goes into the model, and the labels beside it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, Dataset

from fathom.errors import ArgumentError

_ROWS = 128
_LABELS = ("labels", "label", "targets", "target", "y")

Unpack = Callable[[Any], tuple[Any, Any]]
"""A batch as the data gave it, on the model's device -> what the model is called on, and labels.

The model is called on the items of a tuple or a list, on those of a dict by name, or on what else
it is; labels may be None where nobody asks for them.
"""


class Batch(NamedTuple):
    """One batch.

    Attributes:
        inputs: A tuple of arguments, or arguments by name, on the model's device.
        labels: What lay beside them, unchecked; None where the batch has none.
    """

    inputs: Any
    labels: Any


def batches(
    data: Any, model: nn.Module, *, where: str, unpack: Unpack | None = None
) -> Iterator[Batch]:
    """Go through data once, in its own order.

    Args:
        data: A `DataLoader` or any iterable of batches, each `(x, y)`, `(x,)`, a dict with the
            model's arguments by name (and `labels`), or a tensor; or a tuple of tensors
            `(x, y)`, a tensor or a map-style `Dataset`, which are cut into batches of 128.
        model: Tells the device.
        where: The function and argument, for messages.
        unpack: Takes batches of any other kind apart.

    Yields:
        The batches.

    Raises:
        ArgumentError: If it is none of these.
    """
    for batch in _cut(data, where):
        whole = moved(batch, model)
        yield _split(whole) if unpack is None else _unpacked(whole, unpack, where)


def moved(batch: Any, model: nn.Module) -> Any:
    """Bring a batch to a model.

    Args:
        batch: As the data gave it, on any device.
        model: Tells the device.

    Returns:
        The batch on the model's device; a list is a tuple.
    """
    parameter = next(model.parameters(), None)
    return _moved(batch, torch.device("cpu") if parameter is None else parameter.device)


def call(model: nn.Module, inputs: Any) -> object:
    """Call a model on a batch.

    Args:
        model: The model.
        inputs: Of a `Batch`.

    Returns:
        What the model returns.
    """
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs)


def class_numbers(labels: Any, *, where: str) -> Tensor:
    """Refuse labels that are no class numbers.

    Args:
        labels: Of a `Batch`, not None.
        where: The function and argument, for messages.

    Returns:
        (b,) int64, on the CPU.

    Raises:
        ArgumentError: If they are anything else, or there are several columns of them.
    """
    if isinstance(labels, tuple | list):
        raise ArgumentError(
            f"{where} must say which of several things are labels, got {len(labels)} beside the "
            f"first in a batch. Tell with {_UNPACK}."
        )
    if not isinstance(labels, Tensor):
        raise ArgumentError(
            f"{where} must have labels in a tensor, got {type(labels).__name__}. Pass "
            "torch.as_tensor(y)."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.ndim != 1:
        raise ArgumentError(
            f"{where} must have one whole class number a sample as labels, (b,), got "
            f"{tuple(labels.shape)} of {labels.dtype}. Pass y.long(), or y.argmax(1) of one-hot "
            "labels."
        )
    return labels.to("cpu", torch.int64)


_UNPACK = "unpack=lambda batch: (batch[0], batch[2])"


def _cut(data: Any, where: str) -> Iterable[Any]:
    if isinstance(data, DataLoader):
        return data
    # Without labels, the samples alone are data.
    data = (data,) if isinstance(data, Tensor) else data
    if isinstance(data, tuple) and data and all(isinstance(x, Tensor) for x in data):
        lengths = {len(each) if each.ndim else 0 for each in data}
        if len(data) > 2 or len(lengths) != 1:
            raise ArgumentError(
                f"{where} must be (x, y) of one length, got {len(data)} tensors of lengths "
                f"{sorted(lengths)}. Pass a DataLoader for anything else."
            )
        return zip(*(each.split(_ROWS) for each in data), strict=True)
    if isinstance(data, Dataset):
        return DataLoader(data, batch_size=_ROWS)
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise ArgumentError(
            f"{where} must be a DataLoader, an iterable of batches (x, y), or a tuple of tensors "
            f"(x, y), got {type(data).__name__}. Pass (x, y)."
        )
    return data


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, PackedSequence):
        return batch.to(device)  # type: ignore[arg-type]
    if isinstance(batch, Mapping):
        return {name: _moved(each, device) for name, each in batch.items()}
    if isinstance(batch, tuple | list):
        items = [_moved(each, device) for each in batch]
        # A named tuple takes its items apart.
        return type(batch)(*items) if hasattr(batch, "_fields") else tuple(items)
    return batch


def _split(batch: Any) -> Batch:
    if isinstance(batch, Mapping):
        found = next((batch[name] for name in _LABELS if name in batch), None)
        return Batch({name: x for name, x in batch.items() if name not in _LABELS}, found)
    if not isinstance(batch, tuple) or isinstance(batch, PackedSequence):
        return Batch((batch,), None)
    # Which of several columns are labels nobody knows: an index may stand before them.
    labels = batch[1:] if len(batch) > 2 else batch[1] if len(batch) == 2 else None
    return Batch(batch[:1], labels)


def _unpacked(batch: Any, unpack: Unpack, where: str) -> Batch:
    found = unpack(batch)
    if not isinstance(found, tuple) or len(found) != 2:
        raise ArgumentError(
            f"{where.partition(':')[0]}: unpack must return (inputs, labels), got "
            f"{type(found).__name__}. Pass {_UNPACK.removeprefix('unpack=')}."
        )
    inputs, labels = found
    alone = isinstance(inputs, PackedSequence) or not isinstance(inputs, tuple | list | Mapping)
    return Batch((inputs,) if alone else inputs, labels)
