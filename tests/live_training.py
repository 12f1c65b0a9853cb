"""Small real runs for views to show."""

import sys
from pathlib import Path
from typing import Self

import torch
from torch import nn

import fathom
from preloaded import Piped


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


class Training:
    """A training in a process of its own, which takes a step when it is told to."""

    def __init__(self, folder: Path):
        self._process = Piped((__file__, folder))
        self.steps = 0
        self.step()

    def step(self) -> None:
        """Take a step, and wait until it is recorded."""
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == f"{self.steps}\n"
        self.steps += 1

    def end(self) -> None:
        self._process.communicate(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def _train(folder: Path) -> None:
    model = small_model()
    with fathom.watch(model, folder) as monitor:
        for step, _ in enumerate(sys.stdin):
            record(monitor, model, step)
            print(step, flush=True)


if __name__ == "__main__":
    _train(Path(sys.argv[1]))
