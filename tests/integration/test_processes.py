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
    with fathom.watch(
        model, folder, keep="covariance", statistics=["rankme"], budget=None
    ) as monitor:
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


def stop_in_the_middle(how: str) -> tuple[Taken, Taken, str]:
    """Train, once through and once stopped and resumed in the middle of a window."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    batches = images([20, 12, 7, 30][:size])[rank].split(4)
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        for batch in batches:
            model(batch)
        whole = taken(monitor.snapshot(step=1))
    with fathom.watch(model, budget=None) as monitor:
        model(batches[0])
        state: dict[str, Tensor] | None = monitor.state_dict()
    said = None
    if how == "the first rank's":
        said = [state if rank == 0 else None]
        distributed.broadcast_object_list(said)
        state = said[0]
    assert state is not None
    with fathom.watch(model, budget=None) as monitor:
        try:
            monitor.load_state_dict(state)
        except fathom.ArgumentError as error:
            return whole, whole, str(error)
        if said is not None:
            return whole, whole, ""
        for batch in batches[1:]:
            model(batch)
        return whole, taken(monitor.snapshot(step=1)), ""


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_rank_resumes_in_the_middle_of_a_window(processes: Processes, ranks: int) -> None:
    for whole, resumed, told in processes.run(stop_in_the_middle, "each its own", ranks=ranks):
        assert not told
        assert resumed == whole


def test_rows_of_another_rank_are_not_loaded(processes: Processes) -> None:
    (*_, first), (*_, second) = processes.run(stop_in_the_middle, "the first rank's", ranks=2)
    assert not first
    assert "state must be of rank 1 of 2, got that of rank 0 of 2" in second


def resume_a_run(folder: Path) -> tuple[str, str]:
    model = network()
    with fathom.watch(model, folder, resume=True, budget=None) as monitor:
        model(torch.randn(20, 6, dtype=torch.float64))
        try:
            monitor.snapshot(step=3)
            told = ""
        except fathom.ArgumentError as error:
            told = str(error)
        monitor.snapshot(step=4)
        assert (monitor.report()[0].rows, monitor.report()[0].state) == (0, "not called")
        return told, str(monitor)


def test_every_rank_knows_the_last_step_of_a_run_that_is_gone_on_with(
    processes: Processes, tmp_path: Path
) -> None:
    processes.run(watch_a_share, SHARES["even"], tmp_path / "run", ranks=2)
    for rank, found in enumerate(processes.run(resume_a_run, tmp_path / "run", ranks=2)):
        told, described = found
        assert "step must come after 3" in told
        assert f"rank {rank} of 2" in described
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [3, 4]
        assert run.facts["processes"] == 2
