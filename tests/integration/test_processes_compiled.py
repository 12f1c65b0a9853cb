"""torch.compile with DDP, which cuts a graph at the ends of its buckets, and with FSDP2."""

import warnings
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, distributed, nn
from torch._dynamo.backends.registry import lookup_backend
from torch._dynamo.utils import counters
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from processes import Processes
from processes_comparison import Share, Witness, assert_of_all_ranks, bits_of, layers_of

pytestmark = pytest.mark.regime("Processes")


class Block(nn.Module):
    """Changes the output of a layer in place."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.Linear(6, 24), nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        return self.upper(self.lower(x).relu_())  # type: ignore[no-any-return]


class Net(nn.Module):
    """Changes the output of a block in place."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = Block(), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        x += 1
        return self.head(x)  # type: ignore[no-any-return]


class Backend:
    """A backend of torch that counts the pieces that it is given."""

    def __init__(self, name: str) -> None:
        self.pieces = 0
        self._compile: Any = lookup_backend(name)

    def __call__(self, graph: Any, inputs: Any, **options: Any) -> Any:
        self.pieces += 1
        return self._compile(graph, inputs, **options)


def prepared(model: Net, way: str, backend: Backend | None) -> Any:
    """Wrap and compile a model in one of the ways of `WAYS`; without a backend only wrap it."""
    compiles: dict[str, Any] = {"backend": backend, "dynamic": False, "disable": backend is None}
    whole: Any = model
    if way == "DDP of a compiled model":
        whole = torch.compile(model, **compiles)
    if "DDP" in way:
        # With buckets of a layer each.
        whole = DistributedDataParallel(whole, bucket_cap_mb=1e-3)
    if way == "FSDP2 of a compiled block":
        model.block.compile(**compiles)
    if "FSDP2" in way:
        for part in (model.block, model.head, model):
            fully_shard(part)
    return torch.compile(whole, **compiles) if way.startswith("a compiled") else whole


def train(way: str, backend: Backend | None, watches: str) -> tuple[list[Share], list[bytes]]:
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    model = Net()
    layers = {} if backend else layers_of(model)
    witness = Witness(model if watches == "before" else None, layers)
    call = prepared(model, way, backend)
    if watches == "after":
        witness = Witness(call, layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses = []
    for step in range(2):
        call.train()
        for _ in range(3):
            optimizer.zero_grad()
            losses.append(call(torch.randn(9 + distributed.get_rank(), 6)).square().mean())
            losses[-1].backward()
            optimizer.step()
        call.eval()
        with torch.no_grad():
            losses.append(call(torch.randn(4, 6)).mean())
        witness.snapshot(step)
    witness.close()
    torch._dynamo.reset()
    return witness.shares, bits_of(model, losses)


def train_compiled(way: str, name: str, watches: str) -> list[Share]:
    """Give each window of a compiled training, with the rows of the same in eager mode."""
    unwatched, backend = Backend(name), Backend(name)
    with (
        patch.object(distributed, "_DEFAULT_FIRST_BUCKET_BYTES", 1),
        warnings.catch_warnings(),
    ):
        # Torch's own, of any hook on a sharded module; it hides it where it is no error.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        _, plain = train(way, unwatched, "nobody")
        breaks = counters["graph_break"].total()
        shares, numbers = train(way, backend, watches)
    assert numbers == plain
    if "DDP" in way:
        # One for each layer, in each mode; a compiled DDP breaks its graph before the model.
        assert backend.pieces == unwatched.pieces == 6
        assert counters["graph_break"].total() == breaks
    assert unwatched.pieces > 0
    eager, _ = train(way, None, watches)
    return [one._replace(seen=other.seen) for one, other in zip(shares, eager, strict=True)]


@pytest.mark.parametrize(
    ("way", "backend", "watches"),
    [
        ("DDP of a compiled model", "eager", "before"),
        ("DDP of a compiled model", "aot_eager", "after"),
        ("a compiled DDP", "eager", "after"),
        ("a compiled DDP", "aot_eager", "before"),
        ("a compiled FSDP2", "eager", "before"),
        ("a compiled FSDP2", "aot_eager", "after"),
        ("FSDP2 of a compiled block", "eager", "after"),
        ("FSDP2 of a compiled block", "aot_eager", "before"),
    ],
)
def test_a_model_that_is_compiled_and_trained_by_many_processes_counts_each_row_once(
    processes: Processes, way: str, backend: str, watches: str
) -> None:
    told = processes.run(train_compiled, way, backend, watches, ranks=2)
    for shares in zip(*told, strict=True):
        snapshot = assert_of_all_ranks(shares)
        assert list(snapshot.train) == list(snapshot.eval) == ["block.lower", "block.upper", "head"]
        assert snapshot.train["head"].calls == 2 * 3
        assert snapshot.train["head"].rows == 3 * (9 + 10)
