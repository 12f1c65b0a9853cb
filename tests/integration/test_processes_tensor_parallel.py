"""Tensor parallelism: layers that lie in parts are switched off by name, the others are right."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

import fathom
import reference
from processes import Processes
from processes_comparison import Share, Witness, assert_of_all_ranks, bits_of, layers_of, said

pytestmark = pytest.mark.regime("Processes")

Told = tuple[list[Share], list[bytes], list[str]]
"""The windows of a training, its numbers, and what fathom warned of."""


class Net(nn.Module):
    """A pair of layers that is parallelised, between two that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.bend = nn.Linear(6, 8), nn.Linear(8, 16), nn.Tanh()
        self.down, self.norm, self.head = nn.Linear(16, 8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.down(self.bend(self.up(x)))
        return self.head(self.norm(x))  # type: ignore[no-any-return]


def mesh_of(label: str, *shape: int) -> DeviceMesh:
    """A mesh of all ranks, with one dimension of parts, or one of other data before it.

    Torch remembers groups by meshes that are equal, and the workers of the tests outlive groups:
    no two tests may have equal ones.
    """
    names = ("data", "parts")[-len(shape) :]
    return init_device_mesh(
        "cpu", shape, mesh_dim_names=tuple(f"{each}, {label}" for each in names)
    )


def train(way: str, place: str, watches: bool = True) -> Told:
    """Train, with the same data on the ranks that have parts of the same layer."""
    rank, size, label = distributed.get_rank(), distributed.get_world_size(), f"{way} {place}"
    mesh = mesh_of(label, 2, 2) if "2D" in way else mesh_of(label, size)
    torch.manual_seed(0)
    model = Net()
    others = {name: each for name, each in layers_of(model).items() if name not in ("up", "down")}
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        witness = Witness(model if watches and place == "before" else None, others)
        local = way != "TP with a DTensor between"
        plan: dict[str, Any] = {
            "up": ColwiseParallel(use_local_output=local),
            "down": RowwiseParallel(),
        }
        parallelize_module(model, mesh[f"parts, {label}"], plan)
        if watches and place == "between":
            witness = Witness(model, others)
        if "2D" in way:
            parts = [model.up, model.down, model.head] if "every layer" in way else []
            for part in (*parts, model):
                reshards = "not resharded" not in way
                data = mesh[f"data, {label}"]
                fully_shard(part, mesh=data, reshard_after_forward=reshards)
        if watches and place == "after":
            witness = Witness(model, others)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        torch.manual_seed(rank // 2 if "2D" in way else 0)
        losses = []
        for step in range(2):
            for _ in range(3):
                optimizer.zero_grad()
                losses.append(model(torch.randn(20, 6)).square().mean())
                losses[-1].backward()
                optimizer.step()
            witness.snapshot(step)
        witness.close()
    told = [str(each.message) for each in heard if each.category is fathom.FathomWarning]
    return witness.shares, bits_of(model, losses), told


def train_twice(way: str, place: str) -> tuple[list[Share], bool, list[str]]:
    shares, numbers, told = train(way, place)
    return shares, numbers == train(way, place, False)[1], told


@pytest.mark.parametrize(
    ("way", "ranks", "place"),
    [
        ("TP", 2, "before"),
        ("TP", 2, "after"),
        ("TP", 4, "after"),
        ("TP with a DTensor between", 2, "before"),
        ("TP with a DTensor between", 2, "after"),
        *(("2D", 4, place) for place in ("before", "between", "after")),
        *(("2D, every layer", 4, place) for place in ("before", "between", "after")),
        ("2D, every layer, not resharded", 4, "after"),
    ],
)
def test_tensor_parallel_layers_are_switched_off_by_name_and_the_others_are_right(
    processes: Processes, way: str, ranks: int, place: str
) -> None:
    told = processes.run(train_twice, way, place, ranks=ranks)
    for _, same, heard in told:
        assert same
        assert [message.split(" can no longer")[0] for message in heard] == [
            "fathom: layer up",
            "fathom: layer down",
        ]
        for name, message in zip(("up", "down"), heard, strict=True):
            assert f'layers=["*", "!{name}"]' in message
    for shares in zip(*(shares for shares, *_ in told), strict=True):
        snapshot, *others = [share.taken() for share in shares]
        assert all(said(other) == said(snapshot) for other in others)
        assert list(snapshot.disabled) == ["up", "down"]
        assert all("tensor-parallel" in reason for reason in snapshot.disabled.values())
        assert list(snapshot.train) == ["stem", "head"]
        for name, reading in snapshot.train.items():
            # Some ranks give the same rows, each as often as the others.
            rows = [part for share in shares for part in share.seen["train", name].rows]
            expected = reference.eigenvalues(np.concatenate(rows))
            np.testing.assert_allclose(reading.eigenvalues, expected, rtol=1e-4, atol=1e-6)
            assert reading.layer.module == "Linear"


class Spread(nn.Module):
    """Gives its input as a distributed tensor."""

    def __init__(self, mesh: DeviceMesh, placement: Placement) -> None:
        super().__init__()
        self._mesh, self._placement = mesh, placement

    def forward(self, x: Tensor) -> Tensor:
        return DTensor.from_local(x, self._mesh, [self._placement])


class Sequences(nn.Module):
    """A norm of which each rank has its part of the sequence, between two whole layers."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.stem, self.between, self.head = nn.Linear(6, 8), between, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        rank, size = distributed.get_rank(), distributed.get_world_size()
        x = self.between(self.stem(x).chunk(size, dim=1)[rank])
        return self.head(x.to_local() if isinstance(x, DTensor) else x)  # type: ignore[no-any-return]


def train_sequences(what: str, place: str) -> tuple[list[Share], list[str]]:
    torch.manual_seed(0)
    mesh = mesh_of(f"{what}, {place}", distributed.get_world_size())
    between = {"sharded": Spread(mesh, Shard(0)), "replicated": Spread(mesh, Replicate())}
    model = Sequences(between.get(what) or nn.LayerNorm(8))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        options: dict[str, Any] = {"layers": ["*", "between"]}
        layers = dict(model.named_children())
        if place == "before":
            witness = Witness(model, layers_of(model), **options)
        if what not in between:
            parallel = SequenceParallel(use_local_output=what == "local")
            parallelize_module(model, mesh, {"between": parallel})
        if place == "after":
            witness = Witness(model, layers if what == "local" else layers_of(model), **options)
        for _ in range(3):
            model(torch.randn(5, 8, 6) + distributed.get_rank()).square().mean().backward()
        witness.snapshot(0)
        witness.close()
    told = [str(each.message) for each in heard if each.category is fathom.FathomWarning]
    return witness.shares, told


def test_a_norm_that_gives_each_rank_its_part_of_the_sequence_counts_every_position(
    processes: Processes,
) -> None:
    told = processes.run(train_sequences, "local", "after", ranks=2)
    assert [heard for _, heard in told] == [[], []]
    reading = assert_of_all_ranks([shares[0] for shares, _ in told]).train["between"]
    assert (reading.rows, reading.layer.kind) == (3 * 5 * 8, "normalisation")


@pytest.mark.parametrize(
    ("what", "place"),
    [
        ("local", "before"),
        ("distributed", "before"),
        ("distributed", "after"),
        ("sharded", "after"),
        ("replicated", "after"),
    ],
)
def test_a_layer_that_gives_a_distributed_tensor_is_switched_off_by_name(
    processes: Processes, what: str, place: str
) -> None:
    told = processes.run(train_sequences, what, place, ranks=2)
    for (share,), heard in told:
        assert len(heard) == 1
        assert heard[0].startswith("fathom: layer between can no longer be read")
        assert list(share.taken().disabled) == ["between"]
    assert_of_all_ranks([shares[0] for shares, _ in told], disabled=("between",))
