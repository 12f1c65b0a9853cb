"""The weights of a model at several steps, each brought into one copy when its turn comes."""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

from torch import Tensor, nn

from fathom.analysis.outputs import chosen_layers
from fathom.analysis.sources import Source
from fathom.analysis.weights import load_into, read_weights, weights_in
from fathom.capture.modules import unwrapped
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError, whole_number

Checkpoint = nn.Module | Mapping[str, Any] | str | os.PathLike[str]
"""A model, its state dict, or a file with one."""

_WHERE = "similarity_over_steps"


def sources_of(
    model: nn.Module, checkpoints: Mapping[int, Checkpoint], layers: LayerFilter | None
) -> dict[int, Source]:
    """Return a source a step.

    Args:
        model: Is copied, not changed; weights are loaded into the copy.
        checkpoints: By step. Of a file only numbers are read, never code, and its weights lie on
            the disk until their turn.
        layers: As of `watch`.

    Returns:
        By step, ascending.

    Raises:
        ArgumentError: If there are fewer than two, or one does not fit the model.
    """
    if not isinstance(checkpoints, Mapping) or len(checkpoints) < 2:
        raise ArgumentError(
            f"{_WHERE}: checkpoints must be at least two by step, got {_shown(checkpoints)}. "
            "Pass {step: state_dict or path or model, ...}."
        )
    whole = {
        whole_number(step, where=f"{_WHERE}: step"): each for step, each in checkpoints.items()
    }
    stage: tuple[nn.Module, list[Any]] | None = None
    found = {}
    for step, checkpoint in sorted(whole.items(), key=lambda item: item[0]):
        title = f"the model at step {step}"
        if isinstance(checkpoint, nn.Module):
            own = unwrapped(checkpoint)
            found[step] = Source(own, chosen_layers(own, layers, where=_WHERE), title)
            continue
        if stage is None:
            copy = _copied(unwrapped(model))
            stage = copy, list(chosen_layers(copy, layers, where=_WHERE))
        prepare = _loading(stage[0], checkpoint, step)
        found[step] = Source(stage[0], stage[1], title, prepare)
    return found


def _copied(model: nn.Module) -> nn.Module:
    # Weights that a hook computes before each call, such as those of the first weight_norm, are
    # no leaves, which deepcopy refuses.
    computed = [
        each
        for module in model.modules()
        for each in vars(module).values()
        if isinstance(each, Tensor) and not each.is_leaf
    ]
    return deepcopy(model, {id(each): each.detach().clone() for each in computed})


def _loading(model: nn.Module, checkpoint: Any, step: int) -> Callable[[], None]:
    where, said = f"{_WHERE}: checkpoints", f"that of step {step}"
    found = checkpoint
    if isinstance(checkpoint, str | os.PathLike):
        said = f"{os.fspath(checkpoint)} at step {step}"
        found = read_weights(checkpoint, where=where, said=said)
    weights = weights_in(found, where=where, said=said)
    load = partial(load_into, model, weights, where=where, said=said)
    # Once now, so that what does not fit is found before the work begins.
    load()
    return load


def _shown(value: object) -> str:
    return f"{len(value)}" if isinstance(value, Mapping) else type(value).__name__
