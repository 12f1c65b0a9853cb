"""Two processes with a tracker each: the rows of both count, and the first alone writes."""

import csv
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

import reference
from fathom.delve import SaturationTracker
from processes import Processes


def rows_of(rank: int) -> torch.Tensor:
    return torch.randn(40, 6, generator=torch.Generator().manual_seed(rank)) * (rank + 1)


def track(folder: Path) -> list[str]:
    rank = distributed.get_rank()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4))
    tracker = SaturationTracker(
        folder, ["csv", "npy", "print"], model, stats=["trc", "cov"], verbose=True
    )
    for epoch in range(2):
        model(rows_of(rank))
        tracker.add_scalar("epoch", epoch)
        tracker.add_saturations()
    tracker.close()
    return [type(writer).__name__ for writer in tracker.writer.writers]


def test_the_first_of_two_processes_writes_the_numbers_of_both(
    tmp_path: Path, processes: Processes
) -> None:
    writers = processes.run(track, tmp_path / "x", ranks=2)
    assert writers == [["CSVWriter", "NPYWriter", "PrintWriter"], []]
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    outputs = layer(torch.cat([rows_of(0), rows_of(1)])).detach().numpy()
    expected = reference.eigenvalues(outputs).sum()
    with (tmp_path / "x.csv").open(newline="") as file:
        table = list(csv.DictReader(file, delimiter=";"))
    assert [row["epoch"] for row in table] == ["0", "1"]
    for row in table:
        assert float(row["train-covariance-trace_0"]) == pytest.approx(expected, rel=1e-5)
