"""How alike a layer's leading directions are between steps, from what a run kept: without data."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from fathom.analysis.compared import MEMORY
from fathom.analysis.keeping import keep, place_in
from fathom.errors import ArgumentError, RunNotFoundError, choose, near, warn
from fathom.reading import PHASES
from fathom.spectral.canonical import leading
from fathom.spectral.vectors import check_threshold
from fathom.store.stored import StoredRun
from fathom.text import size
from fathom.views.step_similarity import KIND, SimilarityOverSteps

_WHERE = "eigenspace_similarity"


def eigenspace_similarity(
    run: StoredRun | str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    phase: str = "eval",
    threshold: float = 0.99,
    memory: int = MEMORY,
    name: str | None = None,
) -> SimilarityOverSteps:
    """Compare the directions that a layer uses at the steps of a run with `keep="covariance"`.

    The share of the variance at step b that the leading eigendirections at step a carry, of as many
    as carry `threshold` at step a: tr(Vᵀ C V) / tr(C). With itself a step has at least the
    threshold; k directions at random have k / d. It is not symmetric. It knows the layer's axes, so
    it tells whether *this* network still uses the same directions, and cannot compare two networks.

    Args:
        run: A run or its folder.
        layers: Names; None for every layer with covariances at all of the steps.
        steps: Recorded steps; None for all that have covariances.
        phase: `train` or `eval`.
        threshold: The share of the variance, in (0, 1].
        memory: At most so many bytes are held; within it covariances are read again from the disk.
        name: Under which the run keeps it, for `run.similarities_over_steps()`; None to keep it
            nowhere.

    Returns:
        (steps, steps) of each layer: the row is the step of the directions, the column that of the
        variance.

    Raises:
        ArgumentError: If an argument is outside its rule.
        RunNotFoundError: If no covariances were kept.

    References:
        Richter et al. 2021, "Exploring the Properties and Evolution of Neural Network Eigenspaces
        during Training", follow eigenspaces; the share of variance is that of a projection.
    """
    choose(phase, PHASES, where=f"{_WHERE}: phase")
    check_threshold(threshold, where=_WHERE)
    place = None if name is None else place_in(run, name, where=_WHERE)
    with nullcontext(run) if isinstance(run, StoredRun) else StoredRun(Path(run)) as opened:
        found = _compared(opened, layers, steps, phase, threshold, memory)
    if place is not None:
        keep(place, KIND, found.to_body())
    return found


def _compared(
    run: StoredRun,
    layers: Sequence[str] | None,
    steps: Sequence[int] | None,
    phase: str,
    threshold: float,
    memory: int,
) -> SimilarityOverSteps:
    facts = run.layer_facts
    if unknown := [layer for layer in layers or () if layer not in facts]:
        raise ArgumentError(
            f"{_WHERE}: layers must be of the run, got {unknown[0]!r}. "
            f"{near(unknown[0], list(facts))}"
        )
    asked = list(facts) if layers is None else [each for each in facts if each in layers]
    chosen = sorted(set(run.steps if steps is None else steps))
    kept = {step: run.kept_covariances(step, phase=phase) for step in chosen}
    if steps is None:
        kept = {step: names for step, names in kept.items() if names}
    if len(kept) < 2:
        raise RunNotFoundError(
            f"{_WHERE}: run must have covariances of at least two steps in {phase}, got "
            f'{len(kept)}. Watch with keep="covariance".'
        )
    common = [each for each in asked if all(each in names for names in kept.values())]
    missing = [each for each in asked if each not in common]
    if not common:
        raise RunNotFoundError(
            f"{_WHERE}: run must have covariances of a layer at every step, got none in {phase} "
            f'of {len(kept)} steps. Watch with keep="covariance", or choose steps=.'
        )
    if missing:
        warn(
            f"{_WHERE}: {len(missing)} layers are left out, without covariances at some of the "
            f"steps: {', '.join(missing[:5])}{', ...' if missing[5:] else ''}."
        )
    steps = list(kept)
    readings = run.snapshot(steps[0]).phase(phase)
    widths = {layer: readings[layer].width for layer in common}
    found: list[Tensor] = []
    constant: list[tuple[str, int]] = []
    for together in _groups(widths, len(steps), memory):
        for layer, (values, still) in _shares(run, together, steps, phase, threshold, memory):
            found.append(values)
            constant += [(layer, step) for step in still]
    return SimilarityOverSteps(
        method="eigenspaces",
        model=str(run.facts.get("model", "model")).rpartition(".")[2],
        layers=tuple(common),
        steps=tuple(kept),
        values=torch.stack(found).numpy(),
        constant=tuple(constant),
    )


def _groups(widths: Mapping[str, int], steps: int, memory: int) -> Iterator[dict[str, int]]:
    """Yield layers, with their widths, whose directions at all steps are held together."""
    group: dict[str, int] = {}
    for layer, width in widths.items():
        if group and _bytes({**group, layer: width}) * (steps + _BESIDE) > memory:
            yield group
            group = {}
        group[layer] = width
    yield group


_BESIDE = 3
"""Copies of a step's covariances: of those that are read, and what their products take."""


def _bytes(widths: Mapping[str, int]) -> int:
    return sum(8 * width * width for width in widths.values())


def _shares(
    run: StoredRun,
    widths: Mapping[str, int],
    steps: Sequence[int],
    phase: str,
    threshold: float,
    memory: int,
) -> Iterator[tuple[str, tuple[Tensor, list[int]]]]:
    """Yield (steps, steps) of each layer, and the steps at which it does not vary."""
    most = memory // _bytes(widths) - _BESIDE
    if most < 1:
        (layer, width), *_ = widths.items()
        raise ArgumentError(
            f"{_WHERE}: memory must be at least {size(_bytes(widths) * (1 + _BESIDE))} for "
            f"{layer}, of width {width}, got {size(memory)}."
        )
    layers = list(widths)
    values = {layer: torch.zeros(len(steps), len(steps), dtype=torch.float64) for layer in layers}
    still: dict[str, set[int]] = {layer: set() for layer in layers}
    for start in range(0, len(steps), most):
        held: dict[str, dict[int, Tensor]] = {layer: {} for layer in layers}
        for row, step in list(enumerate(steps))[start : start + most]:
            for layer, kept in run.covariances(layers, step=step, phase=phase).items():
                spread = leading(
                    *kept, threshold=threshold, resolution=torch.finfo(torch.float32).eps
                )
                if spread.dimension == 0:
                    still[layer].add(step)
                # Of length 1, and a covariance along each of them is a variance.
                held[layer][row] = torch.nn.functional.normalize(spread.whitening, dim=0)
        for column, step in enumerate(steps):
            for layer, (covariance, _) in run.covariances(layers, step=step, phase=phase).items():
                total = float(covariance.diagonal().sum())
                for row, vectors in held[layer].items():
                    share = float(((covariance @ vectors) * vectors).sum())
                    values[layer][row, column] = min(share / total, 1.0) if total > 0 else 0.0
    for layer in layers:
        for step in still[layer]:
            values[layer][:, steps.index(step)] = values[layer][steps.index(step)] = 0
        yield layer, (values[layer], sorted(still[layer]))
