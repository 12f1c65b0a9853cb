"""Where a training runs, and what makes its numbers the same there each time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fathom.errors import ArgumentError, choose

DEVICES = ("auto", "cpu", "cuda")


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Ask for deterministic algorithms, and leave the process's generators as they were.

    Args:
        device: On which a training runs meanwhile.

    Yields:
        Once.
    """
    # Read when cuBLAS starts; without it torch refuses deterministic products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    try:
        torch.use_deterministic_algorithms(True)
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


def device_of(name: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: `auto` for a GPU where there is one, `cpu` or `cuda`.

    Raises:
        ArgumentError: If there is no such device.
    """
    choose(name, DEVICES, where="experiment: --device")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ArgumentError("experiment: --device must be there, got 'cuda'. Pass cpu.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def named(device: torch.device) -> str:
    """Return what a device is called: the name of the GPU, or `cpu`.

    Args:
        device: Of a training.
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
