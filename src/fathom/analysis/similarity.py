"""How alike the layers of two models are, or of one model, on the same data."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fathom.analysis.batches import Unpack
from fathom.analysis.blocks import Block
from fathom.analysis.compared import MEMORY, check, compare, place_for
from fathom.analysis.keeping import keep
from fathom.analysis.outputs import chosen_layers
from fathom.analysis.sources import Item, Shape, Source
from fathom.capture.modules import unwrapped
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError
from fathom.store.stored import StoredRun
from fathom.views.similarity import KIND, Similarity


def similarity(
    model_a: nn.Module,
    model_b: nn.Module | None = None,
    data: Any = None,
    *,
    method: str = "cka",
    layers: LayerFilter | None = None,
    layers_b: LayerFilter | None = None,
    threshold: float = 0.99,
    memory: int = MEMORY,
    run: StoredRun | str | os.PathLike[str] | None = None,
    name: str | None = None,
    unpack: Unpack | None = None,
) -> Similarity:
    """Compare each layer of a model with each layer of another, or of the same, on the same data.

    The models run in eval mode without gradients, unseen by monitors, and are afterwards as they
    were to the bit, as are the random states. What is compared is a layer's output before its
    activation. CKA takes a sample's whole output as its features; SVCCA and PWCCA take every
    position (of a convolution or a sequence) as a row where both layers have as many of them, and
    the mean over positions where they have not.

    Args:
        model_a: Its layers are the rows.
        model_b: Its layers are the columns; None, or the same, for the layers of one model among
            each other. It may lie on another device, and share modules with the first.
        data: A `DataLoader`, an iterable of batches or a tuple of tensors, as of `fathom.probe`;
            labels are not used. Several passes need data that can be gone through again.
        method: `cka` (linear, minibatch, unbiased), `svcca` or `pwcca`.
        layers: As of `fathom.watch`: None for every known layer, glob patterns or a predicate.
        layers_b: Of the second model; None for as of the first.
        threshold: The share of the variance whose directions SVCCA compares, in (0, 1].
        memory: At most so many bytes are held beside the models: where all pairs take more, the
            data are gone through several times, as measured at the first batch.
        run: Where to keep it: a run or its folder. `run.similarities()` has it then.
        name: Under which name, in place of what has it; None for the method.
        unpack: As of `fathom.probe`; labels may be None.

    Returns:
        A matrix that prints as a table; `plot()` draws it.

    Raises:
        ArgumentError: If an argument is outside its rule, if every batch has fewer than 4 samples
            (CKA), if there are fewer rows than directions (SVCCA, PWCCA), or if an output is nan.
        RunNotFoundError: If `run` is none.

    References:
        Nguyen, Raghu and Kornblith 2021, "Do Wide and Deep Networks Learn the Same Things?",
        equations 3 and 4 (CKA); Raghu et al. 2017 (SVCCA); Morcos et al. 2018 (PWCCA).

    Example:
        >>> import fathom, torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Linear(6, 4))
        >>> found = fathom.similarity(model, None, [torch.randn(64, 8) for _ in range(4)])
        >>> found.rows, round(found["0", "0"], 6)
        (('0', '1'), 1.0)
    """
    check(method, threshold, memory)
    for argument, value in (("model_a", model_a), ("model_b", model_b)):
        if not isinstance(value, nn.Module) and not (value is None and argument == "model_b"):
            raise ArgumentError(
                f"similarity: {argument} must be a module, got {type(value).__name__}. "
                "Data come third: fathom.similarity(model, None, data)."
            )
    if data is None:
        raise ArgumentError(
            "similarity: data must be batches, got None. Pass fathom.similarity(model_a, model_b, "
            "loader)."
        )
    place = place_for(run, name, method=method, kind=KIND, where="similarity")
    layers_b = layers if layers_b is None else layers_b
    sources = [_source(model_a, layers, "the model")]
    within = model_b is None or (unwrapped(model_b) is sources[0].model and layers_b is layers)
    if model_b is not None and not within:
        first = _source(model_a, layers, "the first model")
        sources = [first, _source(model_b, layers_b, "the second model")]
    found = compare(
        sources, data, _all_pairs, method=method, threshold=threshold, memory=memory, unpack=unpack
    )
    rows = [item for item in found.shapes if item[0] == 0]
    columns = rows if within else [item for item in found.shapes if item[0] == 1]
    values = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    constant: set[Item] = set()
    for block, compared in found.blocks:
        if within:
            _put(compared.mirrored, values, block.columns, block.rows, rows, columns)
        _put(compared.values, values, block.rows, block.columns, rows, columns)
        constant |= compared.constant
    result = Similarity(
        method=method,
        models=(type(sources[0].model).__name__, type(sources[-1].model).__name__),
        within=within,
        rows=tuple(layer for _, layer in rows),
        columns=tuple(layer for _, layer in columns),
        values=values.numpy(),
        samples=found.samples,
        left_out=found.left_out,
        constant_rows=tuple(item[1] for item in rows if item in constant),
        constant_columns=tuple(item[1] for item in columns if item in constant),
    )
    if place is not None:
        keep(place, KIND, result.to_body())
    return result


def _source(model: nn.Module, layers: LayerFilter | None, title: str) -> Source:
    return Source(unwrapped(model), chosen_layers(model, layers, where="similarity"), title)


def _all_pairs(found: Mapping[Item, Shape]) -> list[Block]:
    rows = tuple(item for item in found if item[0] == 0)
    columns = tuple(item for item in found if item[0] == 1)
    return [Block(rows, columns or rows)]


def _put(
    part: Tensor,
    whole: Tensor,
    part_rows: Sequence[Item],
    part_columns: Sequence[Item],
    rows: Sequence[Item],
    columns: Sequence[Item],
) -> None:
    """Put the values of a block in their places."""
    at = [rows.index(item) for item in part_rows]
    beside = [columns.index(item) for item in part_columns]
    whole[torch.tensor(at)[:, None], torch.tensor(beside)] = part.to(whole)
