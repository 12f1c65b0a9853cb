"""The weights of a model at several steps, each brought into one copy when its turn comes."""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fathom.analysis.outputs import chosen_layers
from fathom.analysis.sources import Source
from fathom.capture.modules import plain_name, unwrapped
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError, whole_number

Checkpoint = nn.Module | Mapping[str, Any] | str | os.PathLike[str]
"""A model, its state dict, or a file with one."""

_WHERE = "similarity_over_steps"
_INSIDE = ("state_dict", "model_state_dict", "model")


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
            found[step] = Source(own, chosen_layers(own, layers), title)
            continue
        if stage is None:
            copy = _copied(unwrapped(model))
            stage = copy, list(chosen_layers(copy, layers))
        prepare = _loading(stage[0], _state(checkpoint, step), step)
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


def _loading(model: nn.Module, state: Mapping[str, Tensor], step: int) -> Callable[[], None]:
    try:
        # Once now, so that what does not fit is found before the work begins.
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ArgumentError(
            f"{_WHERE}: checkpoints must fit the model, got one of step {step} that does not: "
            f"{error} Pass the model that it was saved from."
        ) from error
    return partial(_load, model, state)


def _load(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    model.load_state_dict(state)


def _state(checkpoint: Any, step: int) -> dict[str, Tensor]:
    state = _read(checkpoint, step) if isinstance(checkpoint, str | os.PathLike) else checkpoint
    for key in _INSIDE:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not any(isinstance(x, Tensor) for x in state.values()):
        raise ArgumentError(
            f"{_WHERE}: checkpoints must hold weights by name, got {_shown(state)} at step {step}. "
            "Pass model.state_dict(), or a file with it."
        )
    names = [plain_name(name) for name in state]
    if all(name.startswith("module.") for name in names):
        names = [name.removeprefix("module.") for name in names]
    return dict(zip(names, state.values(), strict=True))


def _read(path: str | os.PathLike[str], step: int) -> object:
    read = partial(torch.load, path, map_location="cpu", weights_only=True)
    try:
        try:
            return read(mmap=True)
        except RuntimeError:
            # Files of before torch 1.6 have no parts that could stay on the disk.
            return read()
    except Exception as error:
        raise ArgumentError(
            f"{_WHERE}: checkpoints must be files that torch.load(weights_only=True) reads, got "
            f"{os.fspath(path)} at step {step}: {error} Pass a state dict."
        ) from error


def _shown(value: object) -> str:
    return f"{len(value)}" if isinstance(value, Mapping) else type(value).__name__
