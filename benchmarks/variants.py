"""What is timed on each workload: watched in several ways, and not at all."""

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import fathom

Close = Callable[[], object]


def unwatched(model: nn.Module) -> Close:
    return lambda: None


def exact(model: nn.Module) -> Close:
    """Every row of every layer."""
    return fathom.watch(model, budget=None).close


def floor(model: nn.Module) -> Close:
    """The float32 products of the same rows, and nothing else: no mean, no sum over batches."""

    def multiply(module: nn.Module, args: Any, output: Any) -> None:
        with torch.no_grad():
            rows = output[0] if isinstance(output, tuple) else output
            if isinstance(module, nn.Conv2d):
                rows = rows.transpose(0, 1).flatten(1).T
            rows = rows.reshape(-1, rows.shape[-1])
            rows.T @ rows

    handles = [
        module.register_forward_hook(multiply)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.LSTM)
    ]
    return lambda: [handle.remove() for handle in handles]


def delve(model: nn.Module) -> Close:
    """The Delve package; of a sequence it reads the last time step only."""
    import delve

    tracker = delve.SaturationTracker(
        tempfile.mkdtemp(), save_to="csv", modules=model, stats=["lsat"], device="cpu"
    )
    return lambda: tracker.close()


VARIANTS: dict[str, Callable[[nn.Module], Close]] = {
    "unwatched": unwatched,
    "exact": exact,
    "floor": floor,
    "delve": delve,
}
