"""How far the default's readings are from those of every row."""

from typing import Any

import torch
from machine import Device
from report import Goal, Section
from torch.nn import functional

import fathom
from fathom.experiments.demo import Digits, SmallVGG
from fathom.snapshot import Snapshot

_TEXT = """\
One epoch of the demo's small VGG on handwritten digits, batch 64, trained twice alike: once watched
as `fathom.watch` does unasked, once with every row. Readings of the `train` phase. The largest
difference in saturation, which is that in intrinsic dimension over width: {largest}, over the
{settled} of {layers} layers that are settled in both."""

_COLUMNS = (
    "layer",
    "width",
    "rows, default",
    "rows, exact",
    "dimension, both",
    "saturation differs by",
    "status",
)


def section(device: Device, *, images: int | None = None) -> Section:
    """Train twice and lay the readings side by side.

    Args:
        device: Where.
        images: Only so many; None for all.
    """
    sampled, exact = _epoch(device, images), _epoch(device, images, budget=None)
    rows: list[tuple[str, ...]] = []
    differences = []
    for name, whole in exact.train.items():
        part = sampled.train.get(name)
        if part is None:
            rows.append((name, f"{whole.width}", "0", f"{whole.rows:,}", "–", "–", "–"))
            continue
        difference = abs(part.saturation - whole.saturation)
        status = part.status if part.status == whole.status else f"{part.status}, {whole.status}"
        if status == "settled":
            differences.append(difference)
        rows.append(
            (
                name,
                f"{whole.width}",
                f"{part.rows:,}",
                f"{whole.rows:,}",
                f"{part.intrinsic_dimension}, {whole.intrinsic_dimension}",
                f"{difference:.4f}",
                status,
            )
        )
    largest = f"{max(differences):.4f}" if differences else "none"
    text = _TEXT.format(largest=largest, settled=len(differences), layers=len(exact.train))
    claim = "default against exact, settled layers: largest difference in saturation"
    goal = Goal(claim, max(differences) if differences else None, 0.01, digits=4)
    return Section("Default against exact", text, _COLUMNS, rows, [goal])


def _epoch(device: Device, images: int | None, **options: Any) -> Snapshot:
    inputs, labels = (each[:images].to(device.name) for each in Digits.load().train)
    torch.manual_seed(0)
    model = SmallVGG().to(device.name)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    with fathom.watch(model, **options) as monitor:
        for batch in torch.randperm(len(labels)).split(64):
            loss = functional.cross_entropy(model(inputs[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        snapshot = monitor.snapshot(step=0)
        snapshot.wait()
    return snapshot
