"""A small model tracked by `fathom.delve`, and its table read back."""

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fathom import FathomWarning
from fathom.delve import SaturationTracker


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def train(
    folder: Path, save_to: Any = "csv", *, epochs: range = range(2), **options: Any
) -> list[dict[str, str]]:
    """Track two epochs, and return the rows of the table, if there is one."""
    model = network()
    tracker = SaturationTracker(folder, save_to, model, **options)
    for epoch in epochs:
        for mode in (True, False):
            model.train(mode)
            model(torch.randn(40, 6))
        tracker.add_scalar("loss", 1 / (1 + epoch))
        tracker.add_saturations()
    tracker.close()
    return rows(folder)


def rows(folder: Path) -> list[dict[str, str]]:
    table = Path(f"{folder}.csv")
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def numbers(folder: Path, name: str) -> list[float]:
    return [float(row[name] or "nan") for row in rows(folder)]


@contextmanager
def nothing_told() -> Iterator[None]:
    """Fail on a warning of fathom's; a filter that raises would send it to the log instead."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    assert not [each for each in told if each.category is FathomWarning], told
