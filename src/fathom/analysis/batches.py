"""The user's data, a batch at a time: what goes into the model, and the labels beside it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fathom.errors import ArgumentError

_ROWS = 128
_LABELS = ("labels", "label", "targets", "target", "y")

Forward = Callable[[nn.Module, Any], object]
"""Calls the model on a batch as the data gave it, on the model's device."""


class Batch(NamedTuple):
    """One batch.

    Attributes:
        whole: As the data gave it, on the model's device.
        labels: (b,) class numbers; None where the batch has none.
    """

    whole: Any
    labels: Tensor | None


def batches(data: Any, model: nn.Module, *, where: str) -> Iterator[Batch]:
    """Go through data once, in its own order.

    Args:
        data: A `DataLoader` or any iterable of batches, each `(x, y)`, `(x,)`, a dict with the
            model's arguments by name (and `labels`), or a tensor; or a tuple of tensors
            `(x, y)` or a map-style `Dataset`, which are cut into batches of 128.
        model: Tells the device.
        where: The function and argument, for messages.

    Yields:
        The batches.

    Raises:
        ArgumentError: If it is none of these.
    """
    for batch in _cut(data, where):
        whole = moved(batch, model)
        yield Batch(whole, _labels(whole))


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


def call(model: nn.Module, batch: Any) -> object:
    """Call a model on a batch, without its labels.

    Args:
        model: The model.
        batch: `(x, y)`, `(x,)`, a dict of arguments, or x.

    Returns:
        What the model returns.
    """
    if isinstance(batch, Mapping):
        return model(**{name: each for name, each in batch.items() if name not in _LABELS})
    return model(batch[0] if isinstance(batch, list | tuple) else batch)


def _cut(data: Any, where: str) -> Iterable[Any]:
    if isinstance(data, DataLoader):
        return data
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
    if isinstance(data, Tensor | str | bytes | Mapping) or not isinstance(data, Iterable):
        raise ArgumentError(
            f"{where} must be a DataLoader, an iterable of batches (x, y), or a tuple of tensors "
            f"(x, y), got {type(data).__name__}. Pass (x, y)."
        )
    return data


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {name: _moved(each, device) for name, each in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(_moved(each, device) for each in batch)
    return batch


def _labels(batch: Any) -> Tensor | None:
    if isinstance(batch, Mapping):
        found = next((batch[name] for name in _LABELS if name in batch), None)
    else:
        found = batch[1] if isinstance(batch, tuple) and len(batch) > 1 else None
    return found if isinstance(found, Tensor) else None
