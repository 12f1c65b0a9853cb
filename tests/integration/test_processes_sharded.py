"""FSDP2 and FSDP1: layers whose parameters lie in parts are watched as the plain ones they were."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FullyShardedDataParallel,
    MixedPrecisionPolicy,
    fully_shard,
)

import fathom
from processes import Processes
from processes_comparison import Share, Witness, assert_of_all_ranks, bits_of, layers_of

pytestmark = pytest.mark.regime("Processes")

NAMES = ["stem", "blocks.0.0", "blocks.0.2", "blocks.1.0", "blocks.1.2", "head"]


class Net(nn.Module):
    """Two blocks between a stem and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)  # type: ignore[no-any-return]


def sharded(model: Net, way: str) -> Any:
    """Shard a model in one of the ways that `WAYS` and `PRECISIONS` name."""
    options: dict[str, Any] = {}
    if way == "HSDP":
        options["mesh"] = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "parts"))
    if way in PRECISIONS:
        options["mp_policy"] = PRECISIONS[way]
    if way == "offloaded":
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=False)
    if way == "not resharded":
        options["reshard_after_forward"] = False
    if "checkpointed" in way:
        for place, block in enumerate(model.blocks):
            model.blocks[place] = checkpoint_wrapper(block)
    if "FSDP1" in way:
        options = {"use_orig_params": "flat" not in way, "device_id": torch.device("cpu")}
        for place, block in enumerate(model.blocks):
            model.blocks[place] = FullyShardedDataParallel(block, **options)
        return FullyShardedDataParallel(model, **options)
    if way == "every layer" or way in PRECISIONS:
        for layer in layers_of(model).values():
            fully_shard(layer, **options)
    if way != "the root alone":
        for block in model.blocks:
            fully_shard(block, **options)
    return fully_shard(model, **options)


PRECISIONS = {
    "half": MixedPrecisionPolicy(torch.bfloat16),
    "half, whole outputs": MixedPrecisionPolicy(torch.bfloat16, output_dtype=torch.float32),
    "half, inputs not cast": MixedPrecisionPolicy(torch.bfloat16, cast_forward_inputs=False),
}
WAYS = [
    "the root alone",
    "blocks",
    "every layer",
    "not resharded",
    "offloaded",
    "checkpointed",
    "FSDP1",
    "FSDP1 flat",
    "FSDP1 checkpointed",
]


def train(way: str, place: str, run: Path | None = None) -> tuple[list[Share], list[bytes]]:
    """Train and evaluate, with batches of other sizes on each rank."""
    rank = distributed.get_rank()
    torch.manual_seed(0)
    model = Net()
    layers = layers_of(model)
    witness = Witness(model if place == "before" else None, layers, run=run)
    root = sharded(model, way)
    if place == "after":
        witness = Witness(root, layers, run=run)
    optimizer = torch.optim.SGD(root.parameters(), lr=0.05)
    # Where they are not cast, the caller has them as the parameters are in a call.
    inputs = torch.bfloat16 if "inputs not cast" in way else torch.float32
    losses = []
    for step in range(2):
        root.train()
        for size in (20, 7, 11):
            optimizer.zero_grad()
            batch = (torch.randn(size + rank, 6) + rank).to(inputs)
            losses.append(root(batch).square().mean())
            witness.looks = False  # while a checkpointed block is called once more
            losses[-1].backward()
            witness.looks = True
            optimizer.step()
        root.eval()
        with torch.no_grad():
            losses.append(root(torch.randn(9, 6, dtype=inputs)).mean())
        witness.snapshot(step)
    witness.close()
    return witness.shares, bits_of(root, losses)


def train_twice(way: str, place: str, run: Path | None = None) -> tuple[list[Share], bool]:
    shares, numbers = train(way, place, run)
    return shares, numbers == train(way, "nowhere")[1]


def assert_watched_as_plain(told: list[tuple[list[Share], bool]]) -> None:
    ranks = len(told)
    assert all(same for _, same in told)
    for shares in zip(*(shares for shares, _ in told), strict=True):
        snapshot = assert_of_all_ranks(shares)
        assert list(snapshot.train) == list(snapshot.eval) == NAMES
        assert {each.layer.module for each in snapshot.train.values()} == {"Linear"}
        assert {each.rows for each in snapshot.train.values()} == {
            ranks * (20 + 7 + 11) + 3 * sum(range(ranks))
        }
        assert snapshot.output_layer == "head"


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("way", WAYS)
def test_a_sharded_model_is_watched_like_the_plain_one_and_stays_the_same_to_the_bit(
    processes: Processes, way: str, place: str, tmp_path: Path
) -> None:
    assert_watched_as_plain(processes.run(train_twice, way, place, tmp_path / "run", ranks=2))
    with fathom.open_run(tmp_path / "run") as run:
        assert str(run.facts["model"]).endswith(".Net")
        assert run.facts["processes"] == 2
        assert {facts.module for facts in run.layer_facts.values()} == {"Linear"}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("way", ["every layer", "HSDP"])
def test_a_model_that_is_sharded_over_four_ranks_is_watched(
    processes: Processes, way: str, place: str
) -> None:
    assert_watched_as_plain(processes.run(train_twice, way, place, ranks=4))


@pytest.mark.parametrize(
    ("way", "place", "seen"),
    [
        ("half", "before", "bfloat16"),
        ("half", "after", "bfloat16"),
        ("half, whole outputs", "before", "bfloat16"),
        ("half, whole outputs", "after", "float32"),
        ("half, inputs not cast", "before", "bfloat16"),
        ("half, inputs not cast", "after", "bfloat16"),
    ],
)
def test_where_it_is_watched_decides_the_precision_of_what_is_seen(
    processes: Processes, way: str, place: str, seen: str
) -> None:
    told = processes.run(train_twice, way, place, ranks=2)
    assert_watched_as_plain(told)
    for shares, _ in told:
        for share in shares:
            assert {kind for each in share.seen.values() for kind in each.types} == {
                f"torch.{seen}"
            }
