"""Many processes: the snapshot of all ranks is that of one process that saw all rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn

import fathom
import reference
from processes import Processes

pytestmark = pytest.mark.regime("Processes")

SHARES = {
    "even": [40, 40],
    "uneven": [33, 7],
    "one row": [50, 1],
    "an empty rank": [0, 60],
    "four ranks": [5, 0, 31, 12],
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 9), nn.Linear(9, 3)).double()


def images(share: list[int]) -> list[Tensor]:
    """The batches of all ranks, with means far from zero."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(n, 6, generator=generator, dtype=torch.float64) * (rank + 1) + 10 * rank
        for rank, n in enumerate(share)
    ]


Taken = dict[tuple[str, str], Any]


def taken(snapshot: fathom.Snapshot) -> Taken:
    """All that a snapshot says, so that it can be compared to the bit."""
    return {
        (reading.phase, name): (
            reading.eigenvalues.numpy().tobytes(),
            reading.rows,
            reading.samples,
            reading.calls,
            reading.dropped,
            reading.padded,
            reading.status,
            repr(dict(reading.statistics)),  # as text, where nan is nan
        )
        for phase in ("train", "eval")
        for name, reading in snapshot.phase(phase).items()
    } | {("", "rest"): (snapshot.step, dict(snapshot.metrics), snapshot.unobserved)}


def watch_a_share(share: list[int], folder: Path) -> Taken:
    rank = distributed.get_rank()
    model = network()
    with fathom.watch(model, folder, keep="covariance", statistics=["rankme"]) as monitor:
        batch = images(share)[rank]
        for part in batch.split(7) if len(batch) else [batch]:
            model(part)
        model.eval()
        if rank == 0:
            model(batch)
        return taken(monitor.snapshot(step=3, loss=rank))


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES.keys())
def test_all_ranks_together_have_the_numbers_of_one_process_with_all_rows(
    processes: Processes, tmp_path: Path, share: list[int]
) -> None:
    first, *others = processes.run(watch_a_share, share, tmp_path / "run", ranks=len(share))
    for other in others:
        assert other == first
    model = network()
    outputs: dict[str, Tensor] = {}
    values = torch.cat(images(share))
    for name, layer in model.named_children():
        values = layer(values).detach()
        outputs[name] = values
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [3]
        assert run.metrics["loss"][0] == 0
        for name in ("0", "2", "3"):
            rows = outputs[name].numpy()
            covariance, mean = run.covariance(name, step=3, phase="train")
            expected = reference.covariance(rows)
            np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-12 * expected.max())
            np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-12)
            _, count, samples, *_ = first["train", name]
            assert count == samples == sum(share)
            assert first["eval", name][1] == share[0]
