"""DistributedDataParallel: the rows of all ranks count once each, and the training is the same."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from processes import Processes
from processes_comparison import (
    Share,
    Witness,
    assert_of_all_ranks,
    bits_of,
    layers_of,
)

pytestmark = pytest.mark.regime("Processes")

Told = tuple[list[Share], list[bytes]]
"""The windows of a training, and its losses, gradients and weights."""

PLACES = ["before it is wrapped", "as DDP", "inside DDP"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 9), nn.Linear(9, 3))


def wrapped(
    model: nn.Module, place: str, **options: Any
) -> tuple[DistributedDataParallel, Witness]:
    """Wrap a model, watched at one of the places, or at none."""
    layers = layers_of(model)
    witness = Witness(model if place == PLACES[0] else None, layers)
    ddp = DistributedDataParallel(model, **options)
    if place in PLACES[1:]:
        witness = Witness(ddp if place == "as DDP" else ddp.module, layers)
    return ddp, witness


def samples(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 6, generator=generator) + torch.linspace(0, 2, count)[:, None]


def epochs(place: str, *, drop_last: bool) -> Told:
    """Train for two epochs of 101 samples; evaluate as many batches as the rank's number."""
    rank = distributed.get_rank()
    model, witness = wrapped(network(), place)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    data = TensorDataset(samples(101))
    sampler: DistributedSampler[Any] = DistributedSampler(data, seed=3, drop_last=drop_last)
    losses = []
    for epoch in range(2):
        model.train()
        sampler.set_epoch(epoch)
        for (batch,) in DataLoader(data, batch_size=20, sampler=sampler):
            optimizer.zero_grad()
            losses.append(model(batch).square().mean())
            losses[-1].backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            losses += [model(batch).mean() for batch in samples(90).split(30)[:rank]]
        witness.snapshot(epoch, loss=losses[-1])
    witness.close()
    return witness.shares, bits_of(model, losses)


def train_for_epochs(place: str, drop_last: bool) -> tuple[list[Share], bool]:
    shares, numbers = epochs(place, drop_last=drop_last)
    return shares, numbers == epochs("nowhere", drop_last=drop_last)[1]


@pytest.mark.parametrize(
    ("place", "drop_last", "ranks", "rows"),
    [
        *((place, False, 2, 102) for place in PLACES),
        ("as DDP", True, 2, 100),
        ("as DDP", False, 4, 104),
    ],
)
def test_a_training_under_ddp_is_watched_on_all_ranks_and_stays_the_same_to_the_bit(
    processes: Processes, place: str, drop_last: bool, ranks: int, rows: int
) -> None:
    told = processes.run(train_for_epochs, place, drop_last, ranks=ranks)
    assert all(same for _, same in told)
    for step, shares in enumerate(zip(*(shares for shares, _ in told), strict=True)):
        snapshot = assert_of_all_ranks(shares)
        assert snapshot.step == step
        assert snapshot.metrics == shares[0].taken().metrics
        assert list(snapshot.train) == list(snapshot.eval) == ["0", "2", "3"]
        assert snapshot.output_layer == "3"
        # DistributedSampler repeats samples, or leaves some out.
        assert snapshot.train["0"].rows == rows
        assert snapshot.eval["0"].rows == 30 * sum(range(ranks))
        assert [reading.layer.module for reading in snapshot.train.values()] == ["Linear"] * 3


def joined(place: str, batches: list[int]) -> Told:
    rank = distributed.get_rank()
    model, witness = wrapped(network(), place)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for step in range(2):
        with model.join():
            for batch in (samples(70) + rank).split(7)[: batches[rank]]:
                optimizer.zero_grad()
                losses.append(model(batch).square().mean())
                losses[-1].backward()
                optimizer.step()
        witness.snapshot(step)
    witness.close()
    return witness.shares, bits_of(model, losses)


def train_joined(batches: list[int]) -> tuple[list[Share], bool]:
    shares, numbers = joined("as DDP", batches)
    return shares, numbers == joined("nowhere", batches)[1]


@pytest.mark.parametrize("batches", [[6, 2], [0, 3, 1, 4]], ids=str)
def test_ranks_that_join_early_have_given_what_rows_they_had(
    processes: Processes, batches: list[int]
) -> None:
    told = processes.run(train_joined, batches, ranks=len(batches))
    assert all(same for _, same in told)
    for shares in zip(*(shares for shares, _ in told), strict=True):
        reading = assert_of_all_ranks(shares).train["0"]
        assert (reading.rows, reading.calls) == (7 * sum(batches), sum(batches))


class Odd(nn.Module):
    """Two blocks that may be checkpointed, and a layer that is used at some steps only."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 6)) for _ in range(2)
        )
        self.spare, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.way, self.uses_spare = way, True

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.run(block, x)
        if self.uses_spare:
            x = x + self.spare(x)
        return self.head(x)  # type: ignore[no-any-return]

    def run(self, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if "checkpoint" in self.way:
            return checkpoint(block, x, use_reentrant="not" not in self.way)  # type: ignore[no-any-return]
        return block(x)


OPTIONS: dict[str, dict[str, Any]] = {
    "find_unused_parameters": {"find_unused_parameters": True},
    "static_graph": {"static_graph": True},
    "no_sync": {},
    "a bucket a parameter": {"bucket_cap_mb": 1e-6, "gradient_as_bucket_view": True},
    "reentrant checkpoint": {},
    "checkpoint, not reentrant": {},
    "checkpoint, not reentrant, static_graph": {"static_graph": True},
}


def steps(place: str, way: str) -> Told:
    """Train for six steps in a way of DDP, with a snapshot after three."""
    rank = distributed.get_rank()
    odd = Odd(way)
    model, witness = wrapped(odd, place, **OPTIONS[way])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for step in range(6):
        if way == "find_unused_parameters":
            odd.uses_spare = step % 2 == 0 and rank > 0
        if way != "no_sync" or step % 3 == 0:
            optimizer.zero_grad()
        accumulates = way == "no_sync" and step % 3 < 2
        batch = (samples(80) + rank)[10 * step :][:20].requires_grad_()
        with model.no_sync() if accumulates else nullcontext():
            loss = model(batch).square().mean()
            witness.looks = False  # while a checkpointed block is called once more
            loss.backward()
            witness.looks = True
        losses.append(loss)
        if not accumulates:
            optimizer.step()
        if step % 3 == 2:
            witness.snapshot(step)
    witness.close()
    return witness.shares, bits_of(model, losses)


def train_in_a_way(place: str, way: str) -> tuple[list[Share], bool]:
    shares, numbers = steps(place, way)
    return shares, numbers == steps("nowhere", way)[1]


@pytest.mark.parametrize("place", PLACES[:2])
@pytest.mark.parametrize("way", OPTIONS)
def test_every_way_of_ddp_counts_each_row_once(processes: Processes, place: str, way: str) -> None:
    told = processes.run(train_in_a_way, place, way, ranks=2)
    assert all(same for _, same in told)
    for shares in zip(*(shares for shares, _ in told), strict=True):
        snapshot = assert_of_all_ranks(shares)
        assert {reading.calls for name, reading in snapshot.train.items() if name != "spare"} == {6}
        layers = ["blocks.0.0", "blocks.0.2", "blocks.1.0", "blocks.1.2", "head", "spare"]
        assert sorted(snapshot.train) == layers
