"""torch.compile: every call counts once, and fathom adds no graph, no break and no recompile."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils.checkpoint import checkpoint

import fathom
import reference

pytestmark = pytest.mark.regime("Compiled")

BACKENDS = ["eager", "aot_eager", "inductor"]


class Net(nn.Module):
    """In-place changes behind a convolution and behind a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.activation = nn.ReLU(inplace=True)
        self.hidden = nn.Linear(8, 16)
        self.out = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        x = self.activation(self.conv(images))
        x = self.hidden(self.norm(x).mean((2, 3)))
        x += 100
        return self.out(x)  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 8, 8)


def train(model: nn.Module, call: Callable[[Tensor], Tensor], batches: list[Tensor]) -> None:
    for batch in batches:
        model.train()
        call(batch).sum().backward()
        model.eval()
        with torch.no_grad():
            call(batch)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layers", [None, ["hidden"]], ids=["all layers", "one layer"])
def test_a_compiled_model_is_observed_exactly(backend: str, layers: list[str] | None) -> None:
    torch.manual_seed(0)
    batches = [images(count) for count in (4, 4, 7, 9, 5)]
    plain = Net()
    unwatched = torch.compile(plain, fullgraph=True, backend=backend)
    train(plain, unwatched, batches)
    graphs = counters["stats"]["unique_graphs"]
    torch._dynamo.reset()
    counters.clear()

    model = Net()
    seen: dict[tuple[str, str], list[Tensor]] = {}
    with fathom.watch(model, layers=layers, budget=None) as monitor:
        train(model, torch.compile(model, fullgraph=True, backend=backend), batches)
        snapshot = monitor.snapshot(0)
    assert counters["stats"]["unique_graphs"] == graphs
    assert not counters["graph_break"]

    def keep(name: str, rows: Callable[[Tensor], Tensor]) -> Callable[[Any, Any, Tensor], None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            seen.setdefault((name, "train" if model.training else "eval"), []).append(
                rows(output.detach().clone())
            )

        return hook

    # The same weights and batch statistics once more, in eager mode.
    model.norm.reset_running_stats()
    model.conv.register_forward_hook(keep("conv", lambda x: x.permute(0, 2, 3, 1).reshape(-1, 8)))
    model.hidden.register_forward_hook(keep("hidden", lambda x: x))
    train(model, model, batches)
    for (name, phase), rows in seen.items():
        if layers is not None and name not in layers:
            continue
        reading = snapshot.phase(phase)[name]
        assert reading.calls == len(batches)
        assert reading.rows == sum(map(len, rows))
        np.testing.assert_allclose(
            reading.eigenvalues, reference.eigenvalues(torch.cat(rows)), rtol=1e-3, atol=1e-6
        )
    assert snapshot.output_layer == "out"


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpointed_layers_in_a_compiled_model_count_once(backend: str) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            def block(y: Tensor) -> Tensor:
                return self.second(torch.relu(self.first(y)))  # type: ignore[no-any-return]

            return checkpoint(block, x, use_reentrant=False)  # type: ignore[no-any-return]

    model = Checkpointed()
    with fathom.watch(model, budget=None) as monitor:
        compiled: Any = torch.compile(model, fullgraph=True, backend=backend)
        for count in (4, 4, 6):
            compiled(torch.randn(count, 8, requires_grad=True)).sum().backward()
        readings = monitor.snapshot(0).train
    assert {name: (each.rows, each.calls) for name, each in readings.items()} == {
        "first": (14, 3),
        "second": (14, 3),
    }


def test_every_counts_calls_of_a_compiled_model() -> None:
    for model, batch in ((Net(), images(4)), (nn.Sequential(nn.Linear(8, 8)), torch.randn(4, 8))):
        with fathom.watch(model, every=3, budget=None) as monitor:
            compiled: Any = torch.compile(model, fullgraph=True, backend="eager")
            for _ in range(7):
                compiled(batch)
            assert {each.calls for each in monitor.snapshot(0).train.values()} == {3}


def test_snapshots_and_pauses_need_no_new_graph() -> None:
    model = Net()
    compiled: Any = torch.compile(model, fullgraph=True, backend="eager")
    monitor = fathom.watch(model, budget=None)
    for step in range(3):
        for _ in range(step + 1):
            compiled(images(4))
        assert monitor.snapshot(step).train["hidden"].calls == step + 1
    with monitor.pause():
        compiled(images(4))
    assert monitor.snapshot(3).train == {}
    assert counters["stats"]["unique_graphs"] == 1
    monitor.close()
    compiled(images(4))


@pytest.mark.parametrize("given", ["model", "compiled"])
def test_a_model_that_ran_compiled_before_is_compiled_once_more(given: str) -> None:
    model = Net()
    compiled: Any = torch.compile(model, fullgraph=True, backend="eager")
    compiled(images(4))
    with fathom.watch(model if given == "model" else compiled, budget=None) as monitor:
        compiled(images(4))
        assert list(monitor.snapshot(0).train) == ["conv", "hidden", "out"]


def test_a_compiled_module_of_torch_itself_is_noticed_too() -> None:
    compiled: Any = torch.compile(nn.Sequential(nn.Linear(3, 3)), backend="eager")
    compiled(torch.randn(4, 3))
    with fathom.watch(compiled, budget=None) as monitor:
        compiled(torch.randn(4, 3))
        assert monitor.snapshot(0).train["0"].rows == 4


def test_other_compiled_models_are_left_alone() -> None:
    class Other(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    other: Any = torch.compile(Other(), backend="eager")
    other(torch.ones(3))
    graphs = counters["stats"]["unique_graphs"]
    with fathom.watch(Net(), budget=None):
        other(torch.ones(3))
    with pytest.raises(fathom.LayerSelectionError):
        fathom.watch(Net(), layers=["nope"], budget=None)
    other(torch.ones(3))
    assert counters["stats"]["unique_graphs"] == graphs


def test_a_model_watched_in_inference_mode_runs_compiled_outside_it() -> None:
    model = Net()
    with torch.inference_mode():
        monitor = fathom.watch(model, budget=None)
    with monitor:
        torch.compile(model, fullgraph=True, backend="eager")(images(4)).sum().backward()
        assert list(monitor.snapshot(0).train) == ["conv", "hidden", "out"]


def test_a_model_compiled_but_not_run_yet_is_watched_without_a_word() -> None:
    compiled: Any = torch.compile(Net(), fullgraph=True, backend="eager")
    with fathom.watch(compiled, budget=None) as monitor:
        compiled(images(4))
        assert list(monitor.snapshot(0).train) == ["conv", "hidden", "out"]


def test_an_exported_program_holds_nothing_of_fathom() -> None:
    model = Net().eval()
    with fathom.watch(model, budget=None):
        program = torch.export.export(model, (images(2),))
    assert "fathom" not in str(program.graph)
