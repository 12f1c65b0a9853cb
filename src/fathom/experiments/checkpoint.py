"""A training as it stood after an epoch: written whole or not at all, and gone on with exactly."""

from dataclasses import dataclass
from pathlib import Path

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
    with replaced(path) as unfinished:
        torch.save(
            {
                "epoch": checkpoint.epoch,
                "seconds": checkpoint.seconds,
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
            },
            unfinished,
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
            f"experiment: {path} must be a checkpoint of this training, got {type(error).__name__} "
            "where it was read. Remove it to begin this training anew."
        ) from error


def save_weights(path: Path, model: nn.Module) -> None:
    """Write the weights alone.

    Args:
        path: Their file.
        model: At the end of its training.
    """
    with replaced(path) as unfinished:
        torch.save(model.state_dict(), unfinished)
