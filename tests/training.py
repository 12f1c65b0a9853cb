"""Small real runs for views to show."""

from pathlib import Path

import torch
from torch import nn

import fathom


def small_model(width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 4), nn.ReLU())


def record(monitor: fathom.Monitor, model: nn.Module, step: int) -> None:
    """Let data through in both phases, and take the snapshot of a step."""
    model.train()(torch.randn(200, 6))
    model.eval()(torch.randn(200, 6))
    monitor.snapshot(step=step, loss=1 / (step + 1))


def recorded(folder: Path, *, steps: int = 2, width: int = 8) -> Path:
    """Record a run, and close it."""
    model = small_model(width)
    with fathom.watch(model, folder) as monitor:
        for step in range(steps):
            record(monitor, model, step)
    return folder
