"""Calls with no rows, and calls whose tensors are no numbers: nothing is counted or disturbed."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import fathom

pytestmark = pytest.mark.regime("Calls")


def observed(model: nn.Module, *inputs: Any, **options: Any) -> fathom.Reading:
    with fathom.watch(model, **options, budget=None) as monitor:
        for each in inputs:
            model(each)
        snapshot = monitor.snapshot(step=0)
    assert snapshot.disabled == {}
    return snapshot.train[""]


EMPTY = [
    pytest.param(nn.Linear(3, 4), (3,), {}, id="Linear"),
    pytest.param(nn.Linear(3, 4), (5, 3), {}, id="Linear of tokens"),
    *[
        pytest.param(nn.Conv2d(2, 4, 3), (2, 6, 6), {"conv": method}, id=f"Conv2d {method}")
        for method in ("positions", "mean", "max", "median", "flatten")
    ],
    pytest.param(nn.Conv2d(2, 4, 3), (2, 6, 6), {"downsample": 2}, id="Conv2d downsample"),
    pytest.param(
        nn.Conv2d(2, 4, 3), (2, 6, 6), {"downsample": 2, "conv": "flatten"}, id="both of these"
    ),
    pytest.param(nn.GRU(3, 4, batch_first=True), (5, 3), {}, id="GRU"),
    pytest.param(nn.GRU(3, 4, batch_first=True), (5, 3), {"timesteps": "last"}, id="GRU last"),
]


@pytest.mark.parametrize(("layer", "shape", "options"), EMPTY)
def test_an_empty_batch_adds_nothing(
    layer: nn.Module, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    batch, empty = torch.randn(7, *shape), torch.randn(0, *shape)
    alone = observed(layer, batch, **options)
    among = observed(layer, empty, batch, empty, **options)
    assert torch.equal(among.eigenvalues, alone.eigenvalues)
    assert (among.rows, among.samples, among.dropped) == (alone.rows, 7, 0)


@pytest.mark.parametrize(("layer", "shape", "options"), EMPTY)
def test_a_layer_that_saw_nothing_but_empty_batches_has_no_rows(
    layer: nn.Module, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    reading = observed(layer, torch.randn(0, *shape), **options)
    assert (reading.rows, reading.samples, reading.calls, reading.dropped) == (0, 0, 1, 0)
    assert math.isnan(reading.saturation)
    assert math.isnan(reading.statistics["effective_rank"])


def test_an_expert_that_gets_no_tokens_in_some_steps() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(3, 4) for _ in range(3))

        def forward(self, tokens: Tensor) -> Tensor:
            choice = (tokens[:, 0] > 0).long()
            return torch.cat([e(tokens[choice == i]) for i, e in enumerate(self.experts)])

    model = Experts()
    tokens = torch.ones(6, 3)
    with fathom.watch(model, budget=None) as monitor:
        model(tokens)
        model(-tokens[:2])
        snapshot = monitor.snapshot(step=0)
    rows = {name: reading.rows for name, reading in snapshot.train.items()}
    assert rows == {"experts.0": 2, "experts.1": 6, "experts.2": 0}
    assert math.isnan(snapshot.train["experts.2"].saturation)
    assert snapshot.average_saturation("train") == 0.0


def test_a_single_row_is_a_spectrum_of_zeros() -> None:
    reading = observed(nn.Linear(3, 4), torch.randn(1, 3))
    assert reading.rows == 1
    assert reading.intrinsic_dimension == 0
    assert reading.saturation == 0.0
    assert bool((reading.eigenvalues == 0).all())


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten(), nn.Linear(16, 2))


def assert_only_the_batch_counts(monitor: fathom.Monitor, model: nn.Module) -> None:
    """A real call after the odd one is all that is seen."""
    model(torch.randn(5, 1, 6))
    snapshot = monitor.snapshot(step=0)
    assert snapshot.disabled == {}
    readings = {**snapshot.train, **snapshot.eval}
    assert {name: reading.rows for name, reading in readings.items()} == {"0": 20, "2": 5}


def test_function_transforms_count_nothing() -> None:
    model = network()
    parameters: dict[str, Tensor] = dict(model.named_parameters())

    def loss(values: dict[str, Tensor], one: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(model, values, (one[None],))
        return output.square().sum()

    with fathom.watch(model, budget=None) as monitor:
        gradients = torch.func.vmap(torch.func.grad(loss), (None, 0))(
            parameters, torch.randn(3, 1, 6)
        )
        assert gradients["0.weight"].shape == (3, 4, 1, 3)
        torch.func.vmap(model)(torch.randn(3, 2, 1, 6))
        assert_only_the_batch_counts(monitor, model)


def test_fake_tensors_count_nothing_and_switch_nothing_off() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert model(mode.from_tensor(torch.randn(3, 1, 6))).shape == (3, 2)
        assert_only_the_batch_counts(monitor, model)


def test_tensors_on_the_meta_device_count_nothing_and_switch_nothing_off() -> None:
    model = network()
    shapes = {name: value.to("meta") for name, value in model.named_parameters()}
    with fathom.watch(model, budget=None) as monitor:
        output = torch.func.functional_call(model, shapes, (torch.randn(3, 1, 6, device="meta"),))
        assert output.shape == (3, 2)
        assert_only_the_batch_counts(monitor, model)


@pytest.mark.parametrize("strict", [False, True])
def test_export_counts_nothing_and_bakes_nothing_into_the_graph(strict: bool) -> None:
    model = network().eval()
    inputs = (torch.randn(3, 1, 6),)
    expected = [
        str(n.target) for n in torch.export.export(model, inputs, strict=strict).graph.nodes
    ]
    torch.compiler.reset()
    with fathom.watch(model, budget=None) as monitor:
        program = torch.export.export(model, inputs, strict=strict)
        assert [str(node.target) for node in program.graph.nodes] == expected
        assert_only_the_batch_counts(monitor, model)
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
def test_a_trace_counts_nothing_and_bakes_nothing_into_the_graph() -> None:
    model = network().eval()
    inputs = torch.randn(3, 1, 6)

    def operations() -> list[str]:
        traced = torch.jit.trace(model, inputs, check_trace=False)
        return [node.kind() for node in traced.inlined_graph.nodes()]

    expected = operations()
    with fathom.watch(model, budget=None) as monitor:
        assert operations() == expected
        assert_only_the_batch_counts(monitor, model)


def test_a_call_of_forward_itself_is_said_to_be_unobserved() -> None:
    layer = nn.Linear(3, 4)
    with fathom.watch(layer, budget=None) as monitor:
        layer.forward(torch.randn(5, 3))
        snapshot = monitor.snapshot(step=0)
    assert snapshot.unobserved == ("",)
    assert snapshot.train == {}


def test_a_default_device_of_the_user_does_not_reach_the_packed_rows() -> None:
    layer = nn.LSTM(3, 4)
    sequences = [torch.randn(length, 3) for length in (5, 2)]
    packed = nn.utils.rnn.pack_sequence(sequences)
    with fathom.watch(layer, timesteps="last", budget=None) as monitor:
        with torch.device("meta"):
            layer(packed)
        snapshot = monitor.snapshot(step=0)
    assert snapshot.disabled == {}
    assert (snapshot.train[""].rows, snapshot.train[""].samples) == (2, 2)


@pytest.mark.regime("Modes")
def test_a_model_called_from_several_threads_loses_no_row() -> None:
    layer = nn.Linear(3, 8)
    with fathom.watch(layer, budget=None) as monitor:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(layer, [torch.randn(2, 3) for _ in range(400)]))
        reading = monitor.snapshot(step=0).train[""]
    assert (reading.rows, reading.samples, reading.calls) == (800, 800, 400)
