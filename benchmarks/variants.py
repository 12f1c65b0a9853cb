"""What is timed on each workload: watched in several ways, and not at all."""

import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import delve_version
from torch import Tensor, nn

import fathom

Close = Callable[[], object]
Product = Callable[[Tensor], Tensor]


def unwatched(model: nn.Module, device: str) -> Close:
    """Watch nothing."""
    return lambda: None


def default(model: nn.Module, device: str) -> Close:
    """Watch as fathom does unasked."""
    return fathom.watch(model).close


def exact(model: nn.Module, device: str) -> Close:
    """Watch every row of every layer."""
    return fathom.watch(model, budget=None).close


def floor(model: nn.Module, device: str) -> Close:
    """Multiply the same rows in float32, and nothing else: no mean, no sum over batches.

    Tokens lie ready for `rows.T @ rows`. Feature maps are multiplied image by image as they lie
    (`torch.addbmm`), or brought together first, whichever is faster for the shape when it first
    comes. On one core of an AMD EPYC the first is, down to 16 positions an image.
    """
    fastest: dict[torch.Size, Product] = {}

    def multiply(module: nn.Module, args: Any, output: Any) -> None:
        with torch.no_grad(), torch.autocast(device, enabled=False):
            rows = (output[0] if isinstance(output, tuple) else output).float()
            if rows.ndim == 4:
                if rows.shape not in fastest:
                    fastest[rows.shape] = min(
                        (_image_by_image, _together), key=lambda way: _seconds(way, rows)
                    )
                fastest[rows.shape](rows)
            else:
                _tokens(rows)

    handles = [
        module.register_forward_hook(multiply)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.LSTM)
    ]

    def close() -> None:
        for handle in handles:
            handle.remove()

    return close


def delve(model: nn.Module, device: str) -> Close:
    """Watch with the Delve package; of a sequence it reads the last time step only."""
    return delve_tracker(model, device)[1]


def delve_tracker(model: nn.Module, device: str) -> tuple[Any, Close]:
    """Return Delve's tracker, which writes CSV files that go with it."""
    import delve

    folder = tempfile.mkdtemp()
    tracker = delve.SaturationTracker(
        folder, save_to="csv", modules=model, stats=["lsat"], device=device
    )

    def close() -> None:
        tracker.close()
        shutil.rmtree(folder)

    return tracker, close


def _tokens(rows: Tensor) -> Tensor:
    # A recurrent layer with the batch first returns a view of steps first: no copy either way.
    if not rows.is_contiguous():
        rows = rows.transpose(0, 1)
    rows = rows.reshape(-1, rows.shape[-1])
    return rows.T @ rows


def _image_by_image(maps: Tensor) -> Tensor:
    maps = maps.flatten(2)
    product = maps.new_empty(maps.shape[1], maps.shape[1])
    return torch.addbmm(product, maps, maps.transpose(1, 2), beta=0)


def _together(maps: Tensor) -> Tensor:
    columns = maps.transpose(0, 1).flatten(1)
    return columns @ columns.T


def _seconds(way: Product, rows: Tensor) -> float:
    """Return the least time of five."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        way(rows)
        if rows.is_cuda:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)


VARIANTS: dict[str, Callable[[nn.Module, str], Close]] = {
    "unwatched": unwatched,
    "default": default,
    "exact": exact,
    "floor": floor,
    **({"delve": delve} if delve_version() else {}),
}
