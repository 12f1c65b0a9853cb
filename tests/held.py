"""Decompositions that wait until the test lets them go on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

import fathom


class Gate:
    """Closed at first; whoever comes waits until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def open(self) -> None:
        self._open.set()

    def open_soon(self) -> None:
        """Open it while the caller waits for something."""
        threading.Timer(0.2, self.open).start()

    def close(self) -> None:
        self._open.clear()
        self.reached.clear()

    def pass_through(self) -> None:
        self.reached.set()
        assert self._open.wait(60), "the gate was never opened"


@contextmanager
def held_decompositions() -> Iterator[Gate]:
    """Have every decomposition wait at a gate, which is open in the end."""
    gate, eigvalsh = Gate(), torch.linalg.eigvalsh

    def waiting(matrix: Tensor) -> Tensor:
        gate.pass_through()
        values: Tensor = eigvalsh(matrix)
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.linalg, "eigvalsh", waiting)
        try:
            yield gate
        finally:
            gate.open()


class Notes:
    """A sink that keeps every snapshot."""

    def __init__(self) -> None:
        self.snapshots: list[fathom.Snapshot] = []
        self.closed = threading.Event()

    @property
    def steps(self) -> list[int]:
        return [each.step for each in self.snapshots]

    def write(self, snapshot: fathom.Snapshot) -> None:
        self.snapshots.append(snapshot)

    def close(self) -> None:
        self.closed.set()
