"""How the time that watching adds grows with the width, the layers and the batch."""

import time
from collections.abc import Sequence

import torch
from machine import Device
from report import Section
from torch import nn
from training import trained_in_turns, training_step
from turns import compared

_NAMES = ("unwatched", "default", "exact", "floor")
_ROUNDS = 6
_COLUMNS = ("steps", "unwatched step, ms", *(f"{name}, ms added" for name in _NAMES[1:]))


def sections(
    widths: Sequence[int],
    depths: Sequence[int],
    batches: Sequence[int],
    device: Device,
    *,
    seconds: float,
) -> list[Section]:
    """Time stacks of square linear layers.

    Args:
        widths: Of one layer, at batch 256.
        depths: Numbers of layers of width 128, at batch 256.
        batches: Rows, through 4 layers of width 256.
        device: Where they are trained.
        seconds: That each point may take, about.
    """

    def rows(points: Sequence[tuple[int, int, int, int]]) -> list[tuple[str, ...]]:
        return [
            (f"{point:,}", *_point(width, depth, batch, device, seconds))
            for point, width, depth, batch in points
        ]

    return [
        Section(
            "Growth with the width",
            "One square linear layer, batch 256.",
            ("width", *_COLUMNS),
            rows([(width, width, 1, 256) for width in widths]),
        ),
        Section(
            "Growth with the number of layers",
            "Linear layers of width 128, batch 256.",
            ("layers", *_COLUMNS),
            rows([(depth, 128, depth, 256) for depth in depths]),
        ),
        Section(
            "Growth with the batch",
            "4 linear layers of width 256.",
            ("batch", *_COLUMNS),
            rows([(batch, 256, 4, batch) for batch in batches]),
        ),
    ]


def _point(width: int, depth: int, batch: int, device: Device, seconds: float) -> tuple[str, ...]:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth))).to(device.name)
    inputs = torch.randn(batch, width, device=device.name)
    step = training_step(model, inputs, device)
    step()
    device.synchronise()
    start = time.perf_counter()
    step()
    device.synchronise()
    each = _ROUNDS * len(_NAMES) * (time.perf_counter() - start)
    block = min(max(2, round(seconds / each)), 200)
    times = trained_in_turns(model, inputs, device, _NAMES, rounds=_ROUNDS, block=block)
    base = times["unwatched"]
    added = [f"{1e3 * compared(times[name], base).added:.3f}" for name in _NAMES[1:]]
    return f"{base.count}", f"{1e3 * base.mean:.3f}", *added
