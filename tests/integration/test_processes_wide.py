"""Many processes with layers too wide for a covariance: their sketches add up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn

import fathom
import reference
from fathom.distributed.shares import owners_of
from processes import Processes

WIDE = 600


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, WIDE), nn.Linear(WIDE, 9))
    return model.to(torch.float64)


def images(share: list[int]) -> list[Tensor]:
    """The batches of all ranks, with means far from zero."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(n, 6, generator=generator, dtype=torch.float64) * (rank + 1) + 10 * rank
        for rank, n in enumerate(share)
    ]


def watch_a_share(share: list[int], folder: Path) -> list[object]:
    model = network()
    with fathom.watch(model, folder, max_width=550, keep="covariance", budget=None) as monitor:
        for part in images(share)[distributed.get_rank()].split(7):
            model(part)
        return said(monitor.snapshot(step=3))


def said(snapshot: fathom.Snapshot) -> list[object]:
    return [
        (name, each.eigenvalues.numpy().tobytes(), repr(each), repr(dict(each.statistics)))
        for name, each in snapshot.train.items()
    ]


@pytest.mark.parametrize("share", [[40, 40], [50, 1], [0, 60]], ids=str)
def test_all_ranks_together_have_the_numbers_of_all_rows(
    processes: Processes, tmp_path: Path, share: list[int]
) -> None:
    first, second = processes.run(watch_a_share, share, tmp_path / "run", ranks=2)
    assert first == second
    with torch.no_grad():
        rows = network()[0](torch.cat(images(share)))
    truth = reference.eigenvalues(rows)
    with fathom.open_run(tmp_path / "run") as run:
        snapshot = run.snapshot()
        assert said(snapshot) == first
        assert run.covariance("1", phase="train")[0].shape == (9, 9)
        with pytest.raises(fathom.RunNotFoundError, match="sketched"):
            run.covariance("0", phase="train")
    reading = snapshot.train["0"]
    assert reading.sketched
    assert reading.rows == sum(share)
    np.testing.assert_allclose(reading.eigenvalues[:6], truth[:6], rtol=1e-6)
    assert reading.captured == pytest.approx(1)
    assert reading.intrinsic_dimension == reference.intrinsic_dimension(truth)


def watch_differently() -> str:
    try:
        fathom.watch(network(), max_width=550 + distributed.get_rank())
    except fathom.RanksError as error:
        return str(error)
    return ""


def test_ranks_agree_on_what_is_wide(processes: Processes) -> None:
    for told in processes.run(watch_differently, ranks=2):
        assert "max_width must be the same on every rank, got 550 on rank 0 and 551" in told


def mix_kinds() -> dict[str, str]:
    """One rank goes on from a state that was saved without sketches."""
    rank = distributed.get_rank()
    model = network()
    with fathom.watch(model, max_width=700 - 150 * rank, ranks="own", budget=None) as monitor:
        model(images([5, 5])[rank])
        state = {k: v for k, v in monitor.state_dict().items() if k.startswith("windows/")}
    with fathom.watch(model, max_width=550, budget=None) as monitor:
        monitor.load_state_dict(monitor.state_dict() | state)
        return dict(monitor.snapshot(step=0).disabled)


@pytest.mark.filterwarnings("ignore::fathom.FathomWarning")
def test_ranks_of_which_some_hold_a_sketch_are_told(processes: Processes) -> None:
    for disabled in processes.run(mix_kinds, ranks=2):
        assert "sketched on every rank or on none" in disabled["0"]


def test_decompositions_are_shared_by_the_work_that_they_take() -> None:
    works = {("a", "train"): 9, ("b", "train"): 5, ("c", "train"): 5, ("d", "train"): 1}
    owners = owners_of(works, 2)
    assert owners == {("a", "train"): 0, ("b", "train"): 1, ("c", "train"): 1, ("d", "train"): 0}
