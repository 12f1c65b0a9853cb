"""How alike each layer is to itself at other steps of a training, on the same data."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fathom.analysis.batches import Unpack
from fathom.analysis.blocks import Block
from fathom.analysis.checkpoints import Checkpoint, sources_of
from fathom.analysis.compared import MEMORY, check, compare, place_for
from fathom.analysis.keeping import keep
from fathom.analysis.sources import Item, Shape
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError
from fathom.store.stored import StoredRun
from fathom.views.step_similarity import KIND, SimilarityOverSteps


def similarity_over_steps(
    model: nn.Module,
    checkpoints: Mapping[int, Checkpoint],
    data: Any,
    *,
    method: str = "cka",
    layers: LayerFilter | None = None,
    threshold: float = 0.99,
    memory: int = MEMORY,
    run: StoredRun | str | os.PathLike[str] | None = None,
    name: str | None = None,
    unpack: Unpack | None = None,
) -> SimilarityOverSteps:
    """Compare each layer with itself between the steps of a training.

    Args:
        model: What the checkpoints are of. It is copied; the weights are loaded into the copy.
        checkpoints: By step: state dicts, files of such (also in a dict, under `state_dict`,
            `model_state_dict` or `model`), or models. Files are read with `weights_only=True`.
        data: As of `fathom.similarity`.
        method: As of `fathom.similarity`.
        layers: As of `fathom.watch`.
        threshold: As of `fathom.similarity`.
        memory: As of `fathom.similarity`.
        run: Where to keep it; `run.similarities_over_steps()` has it then.
        name: Under which name; None for the method.
        unpack: As of `fathom.probe`; labels may be None.

    Returns:
        (steps, steps) of each layer. It prints as a table of each step with the last; `plot()`
        draws that, and `plot(layer)` all steps of a layer.

    Raises:
        ArgumentError: As of `fathom.similarity`, or if a checkpoint does not fit.
        RunNotFoundError: If `run` is none.

    References:
        Raghu et al. 2017, "SVCCA", section 4: layers settle from the bottom up.

    Example:
        >>> import copy, fathom, torch
        >>> model = torch.nn.Linear(8, 6)
        >>> states = {step: copy.deepcopy(model.state_dict()) for step in range(3)}
        >>> found = fathom.similarity_over_steps(model, states, torch.randn(128, 8))
        >>> found[""].round(6).min()
        np.float64(1.0)
    """
    check(method, threshold, memory)
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"similarity_over_steps: model must be a module, got {type(model).__name__}. Pass the "
            "model that the checkpoints are of."
        )
    place = place_for(run, name, method=method, kind=KIND, where="similarity_over_steps")
    by_step = sources_of(model, checkpoints, layers)
    _refuse_the_same(checkpoints)
    steps = tuple(by_step)
    found = compare(
        list(by_step.values()),
        data,
        _layers,
        method=method,
        threshold=threshold,
        memory=memory,
        unpack=unpack,
    )
    names = [block.rows[0][1] for block in _layers(found.shapes)]
    values = torch.zeros(len(names), len(steps), len(steps), dtype=torch.float64)
    constant: set[Item] = set()
    for block, compared in found.blocks:
        matrix = values[names.index(block.rows[0][1])]
        _put(compared.mirrored, matrix, block.columns, block.rows)
        _put(compared.values, matrix, block.rows, block.columns)
        constant |= compared.constant
    result = SimilarityOverSteps(
        method=method,
        model=type(next(iter(by_step.values())).model).__name__,
        layers=tuple(names),
        steps=steps,
        values=values.numpy(),
        samples=found.samples,
        left_out=found.left_out,
        constant=tuple(
            (layer, step)
            for layer in names
            for number, step in enumerate(steps)
            if (number, layer) in constant
        ),
    )
    if place is not None:
        keep(place, KIND, result.to_body())
    return result


def _refuse_the_same(checkpoints: Mapping[int, Checkpoint]) -> None:
    """Refuse checkpoints that are views of the same weights: all of them are of the last step."""
    known: dict[frozenset[int], object] = {}
    for step, checkpoint in checkpoints.items():
        addresses = frozenset(_addresses(checkpoint))
        if addresses and addresses in known:
            raise ArgumentError(
                f"similarity_over_steps: checkpoints must have weights of their own, got the same "
                f"at step {known[addresses]} and {step}: a state dict changes with its model. Keep "
                "copy.deepcopy(model.state_dict())."
            )
        known[addresses] = step


def _addresses(checkpoint: object) -> Iterator[int]:
    if isinstance(checkpoint, nn.Module):
        checkpoint = checkpoint.state_dict()
    for each in checkpoint.values() if isinstance(checkpoint, Mapping) else ():
        if isinstance(each, Mapping):
            yield from _addresses(each)
        elif isinstance(each, Tensor) and each.numel() and each.device.type != "meta":
            yield each.data_ptr()


def _layers(found: Mapping[Item, Shape]) -> list[Block]:
    """Return a block of all steps for each layer that every step has."""
    count = 1 + max(number for number, _ in found)
    names = [name for number, name in found if number == 0]
    blocks = [tuple((number, name) for number in range(count)) for name in names]
    whole = [Block(items, items) for items in blocks if all(item in found for item in items)]
    if not whole:
        raise ArgumentError(
            "similarity_over_steps: checkpoints must have a layer in common, got none. Pass models "
            "of one training."
        )
    return whole


def _put(part: Tensor, whole: Tensor, rows: tuple[Item, ...], columns: tuple[Item, ...]) -> None:
    at, beside = (torch.tensor([number for number, _ in items]) for items in (rows, columns))
    whole[at[:, None], beside] = part.to(whole)
