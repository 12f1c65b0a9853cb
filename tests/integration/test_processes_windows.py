"""One window after another on many ranks: what counts in each, who decomposes, who else talks."""

from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed import distributed_c10d
from torch.nn.parallel import DistributedDataParallel

import fathom
from processes import Processes
from processes_comparison import Share, Witness, assert_of_all_ranks, layers_of, said

pytestmark = pytest.mark.regime("Processes")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 9), nn.Linear(9, 3))


class Training:
    """A model under DDP with an optimizer, and batches that are each rank's own."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.model = DistributedDataParallel(network())
        self.layers = layers_of(self.model.module)
        self._optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05)
        self._generator = torch.Generator().manual_seed(self.rank)

    def step(self) -> None:
        self._optimizer.zero_grad()
        self.model(self._batch(4 + self.rank)).square().mean().backward()
        self._optimizer.step()

    def evaluate(self) -> None:
        self.model.eval()
        with torch.no_grad():
            self.model(self._batch(5))
        self.model.train()

    def _batch(self, size: int) -> Tensor:
        return torch.randn(size, 6, generator=self._generator) + self.rank


def snapshot_after_every_step() -> list[Share]:
    training = Training()
    witness = Witness(training.model, training.layers)
    for step in range(10):
        training.step()
        if step % 3 == training.rank:
            training.evaluate()
        witness.snapshot(step)
    return witness.shares


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_window_holds_the_rows_of_its_own_step_only(processes: Processes, ranks: int) -> None:
    told = processes.run(snapshot_after_every_step, ranks=ranks)
    for step, shares in enumerate(zip(*told, strict=True)):
        snapshot = assert_of_all_ranks(shares)
        assert snapshot.step == step
        assert snapshot.train["0"].rows == 4 * ranks + sum(range(ranks))
        # Of the ranks that evaluated at this step, there may be none.
        evaluated = step % 3 < ranks
        assert {name: each.rows for name, each in snapshot.eval.items()} == (
            dict.fromkeys(("0", "2", "3"), 5) if evaluated else {}
        )


def train_in_windows(options: dict[str, int], pauses: bool) -> list[Share]:
    """Two windows of 5 training steps, and evaluations that are fewer on later ranks."""
    training = Training()
    witness = Witness(training.model, training.layers, **options)
    every = options.get("every", 1)
    for window in range(2):
        for step in range(5):
            paused = pauses and 1 <= step <= 2
            witness.looks = step % every == 0 and not paused
            with witness.monitor.pause() if paused else nullcontext():
                training.step()
        for step in range(5 - 2 * training.rank):
            witness.looks = step % every == 0
            training.evaluate()
        witness.snapshot(window)
    return witness.shares


@pytest.mark.parametrize(
    ("options", "pauses", "rows"),
    [
        ({"every": 2}, False, {"train": 3 * (4 + 5), "eval": 5 * (3 + 2)}),
        ({"max_samples": 10}, False, {"train": 10 + 10, "eval": 10 + 10}),
        ({"max_samples": 18}, False, {"train": 18 + 18, "eval": 18 + 15}),
        ({"every": 2, "max_samples": 7}, False, {"train": 7 + 7, "eval": 7 + 7}),
        ({}, True, {"train": 3 * (4 + 5), "eval": 5 * (5 + 3)}),
    ],
    ids=["every", "max_samples", "more samples than one rank has", "both", "pause"],
)
def test_what_is_left_out_is_left_out_on_each_rank(
    processes: Processes, options: dict[str, int], pauses: bool, rows: dict[str, int]
) -> None:
    told = processes.run(train_in_windows, options, pauses, ranks=2)
    for shares in zip(*told, strict=True):
        snapshot = assert_of_all_ranks(shares)
        for phase, count in rows.items():
            assert {each.rows for each in snapshot.phase(phase).values()} == {count}


def watch_twice_at_once() -> tuple[list[Share], list[Share], list[Share], list[int]]:
    """Two monitors with windows of their own, of which the first is closed and made once more."""
    training, groups = Training(), [len(distributed_c10d._world.pg_map)]
    often = Witness(training.model, {"0": training.layers["0"]}, layers=["0"])
    seldom = Witness(training.model.module, training.layers, statistics=["rankme"])
    for step in range(4):
        training.step()
        often.snapshot(step)
        if step % 2:
            training.evaluate()
            seldom.snapshot(10 * step)
    groups.append(len(distributed_c10d._world.pg_map))
    often.close()
    training.step()
    again = Witness(training.model, training.layers)
    training.step()
    for witness in (seldom, again):
        witness.snapshot(100)
        witness.close()
    training.step()
    groups.append(len(distributed_c10d._world.pg_map))
    return often.shares, seldom.shares, again.shares, groups


def test_monitors_of_one_model_have_windows_of_their_own_and_leave_no_group_behind(
    processes: Processes,
) -> None:
    told = processes.run(watch_twice_at_once, ranks=2)
    often, seldom, again, groups = zip(*told, strict=True)
    windows = [assert_of_all_ranks(shares) for shares in zip(*often, strict=True)]
    assert [list(each.train) for each in windows] == [["0"]] * 4
    assert [each.train["0"].calls for each in windows] == [2] * 4
    windows = [assert_of_all_ranks(shares) for shares in zip(*seldom, strict=True)]
    assert [each.train["2"].calls for each in windows] == [4, 4, 4]
    windows = [assert_of_all_ranks(shares) for shares in zip(*again, strict=True)]
    assert [each.train["0"].rows for each in windows] == [4 + 5]
    for before, during, after in groups:
        assert (during, after) == (before + 2, before)


def decompose(options: dict[str, Any], without: int | None) -> tuple[dict[Any, Any], int]:
    """Count this rank's decompositions; one rank may have no rows."""
    training, calls, eigvalsh = Training(), 0, torch.linalg.eigvalsh

    def counted(matrix: Tensor) -> Any:
        nonlocal calls
        calls += 1
        return eigvalsh(matrix)

    with fathom.watch(training.model.module, **options, budget=None) as monitor:
        if training.rank != without:
            training.model.module(torch.randn(20, 6))
            training.evaluate()
        with patch.object(torch.linalg, "eigvalsh", counted):
            return said(monitor.snapshot(step=0)), calls


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("without", [None, 1], ids=["all have rows", "one has none"])
def test_the_ranks_share_the_decompositions(
    processes: Processes, ranks: int, without: int | None
) -> None:
    told = processes.run(decompose, {}, without, ranks=ranks)
    counts = [count for _, count in told]
    assert sum(counts) == 3 * 2  # layers and phases
    assert min(counts) >= 1
    told = processes.run(decompose, {"statistics": ["rankme"]}, without, ranks=ranks)
    assert [count for _, count in told] == [2 * count for count in counts]
    assert all(snapshot == told[0][0] for snapshot, _ in told)


def talk_around_snapshots() -> tuple[list[Share], list[bool]]:
    """Begin transfers of the training before a snapshot, and end them after it."""
    training = Training()
    witness = Witness(training.model, training.layers)
    rank, size = training.rank, training.size
    everyone = distributed.new_group()
    pairs = [distributed.new_group([low, low + 1]) for low in range(0, size, 2)]
    right = []
    for step in range(4):
        training.step()
        sums = [torch.full((300_000,), float(rank + step)) for _ in range(3)]
        groups = (None, everyone, pairs[rank // 2])
        work = [
            distributed.all_reduce(each, group=group, async_op=True)
            for each, group in zip(sums, groups, strict=True)
        ]
        sent, came = torch.full((70_000,), float(rank)), torch.zeros(70_000)
        work.append(distributed.isend(sent, (rank + 1) % size, tag=step))
        work.append(distributed.irecv(came, (rank - 1) % size, tag=step))
        witness.snapshot(step)
        for each in work:
            assert each is not None
            each.wait()
        all_ranks = sum(other + step for other in range(size))
        pair = sum(other + step for other in (rank // 2 * 2, rank // 2 * 2 + 1))
        right += [bool((each == all_ranks).all()) for each in sums[:2]]
        right += [bool((sums[2] == pair).all()), bool((came == (rank - 1) % size).all())]
    witness.close()
    distributed.barrier(everyone)
    return witness.shares, right


@pytest.mark.parametrize("ranks", [2, 4])
def test_transfers_of_the_training_that_are_under_way_at_a_snapshot_arrive(
    processes: Processes, ranks: int
) -> None:
    told = processes.run(talk_around_snapshots, ranks=ranks)
    for _, right in told:
        assert right == [True] * 16
    for shares in zip(*(shares for shares, _ in told), strict=True):
        assert assert_of_all_ranks(shares).train["0"].calls == ranks
