"""A training as it stood after an epoch: written whole or not at all, and gone on with exactly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fathom.errors import ExperimentError
from fathom.views.files import replaced


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a training goes on.

    Attributes:
        epoch: How many epochs are done.
        seconds: That they took.
    """

    epoch: int = 0
    seconds: float = 0.0


def save(
    path: Path, checkpoint: Checkpoint, model: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write a checkpoint in the place of the one before.

    Args:
        path: Its file.
        checkpoint: Where the training is.
        model: As it is now.
        optimiser: As it is now.
    """
    _write(
        path,
        {
            "epoch": checkpoint.epoch,
            "seconds": checkpoint.seconds,
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
        },
    )


def load(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> Checkpoint:
    """Put a model and its optimiser where they were.

    Args:
        path: Of the checkpoint.
        model: Which gets its weights.
        optimiser: Which gets its state.

    Returns:
        Where the training is; at its start, if there is no checkpoint.

    Raises:
        ExperimentError: If the file holds something else.
    """
    if not path.exists():
        return Checkpoint()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        return Checkpoint(state["epoch"], state["seconds"])
    except Exception as error:
        raise ExperimentError(
            f"experiment: {path} must be a checkpoint of this training, got {error}. Remove it to "
            "begin this training anew."
        ) from error


def keep_weights(path: Path, model: nn.Module) -> None:
    """Write the weights alone in the place of the checkpoint, which takes three times their bytes.

    Args:
        path: Of the checkpoint.
        model: At the end of its training.
    """
    _write(path, model.state_dict())


def _write(path: Path, body: dict[str, Any]) -> None:
    with replaced(path) as unfinished:
        torch.save(body, unfinished)
