"""What fathom cannot read is left out and said once; the training never notices."""

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference

NAN, INF = float("nan"), float("inf")


class Apply(nn.Module):
    """A layer of no known kind that returns whatever a function does."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Network(nn.Module):
    """An odd layer beside two sound ones, which train."""

    def __init__(self, odd: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.odd = odd
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        self.odd(hidden)
        classes: Tensor = self.last(hidden.relu())
        return classes


def train(monitor: fathom.Monitor, model: nn.Module, calls: int = 4) -> fathom.Snapshot:
    """Train for some calls in both phases, and show what was seen."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(calls):
        for training in (True, False):
            model.train(training)
            model(torch.randn(10, 4)).square().sum().backward()
            optimiser.step()
    return monitor.snapshot(step=0)


def heard(action: Callable[[], Any]) -> list[str]:
    """The messages of all warnings that come while something is done."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    assert all(issubclass(each.category, fathom.FathomWarning) for each in caught)
    return [str(each.message) for each in caught]


def assert_read(reading: fathom.Reading, rows: reference.Array, *, dropped: int) -> None:
    expected = reference.eigenvalues(rows)
    found = reading.eigenvalues.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected[0])
    assert reading.rows == len(rows)
    assert reading.dropped == dropped
    assert reading.intrinsic_dimension == reference.intrinsic_dimension(expected)


@pytest.mark.parametrize("poison", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_that_are_not_finite_are_dropped_and_the_rest_is_exact(
    poison: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(5, 7).to(dtype)
    batches = [torch.randn(40, 5, dtype=dtype) for _ in range(3)]
    batches[0][[3, 17]] = poison
    batches[2][0, 1] = poison
    with fathom.watch(layer, budget=None) as monitor:
        for batch in batches:
            layer(batch)
        reading = monitor.snapshot(step=0).train[""]
    rows = torch.cat([layer(batch) for batch in batches]).detach().double().numpy()
    finite = rows[np.isfinite(rows).all(axis=1)]
    assert len(finite) == 117
    assert_read(reading, finite, dropped=3)
    assert reading.samples == 120


@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
def test_a_map_with_a_nan_loses_exactly_the_rows_that_hold_it(method: str) -> None:
    torch.manual_seed(1)
    layer = nn.Conv2d(2, 3, 1)
    inputs = torch.randn(30, 2, 3, 3)
    inputs[4, :, 1, 2] = NAN
    inputs[9, :, 0, 0] = NAN
    maps = layer(inputs).detach().double().numpy()
    whole = maps.reshape(30, 3, 9)
    rows = {
        "positions": np.moveaxis(whole, 1, 2).reshape(-1, 3),
        "mean": whole.mean(axis=2),
        "max": whole.max(axis=2),
        "median": np.median(whole, axis=2),
        "flatten": maps.reshape(30, 27),
    }[method]
    with fathom.watch(layer, conv=method, budget=None) as monitor:
        layer(inputs)
        reading = monitor.snapshot(step=0).train[""]
    assert_read(reading, rows[np.isfinite(rows).all(axis=1)], dropped=2)


def test_a_window_of_nothing_but_nan_has_no_rows_and_says_nan() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with fathom.watch(model, statistics=["rankme"], budget=None) as monitor:
        model(torch.full((9, 3), NAN))
        snapshot = monitor.snapshot(step=0)
        model(torch.randn(6, 3))
        later = monitor.snapshot(step=1)
    reading = snapshot.train["0"]
    assert (reading.rows, reading.dropped, reading.samples) == (0, 9, 9)
    assert math.isnan(reading.saturation)
    assert math.isnan(reading.intrinsic_dimension)
    assert len(reading.statistics) > 5
    assert all(math.isnan(number) for number in reading.statistics.values())
    assert math.isnan(snapshot.average_saturation("train"))
    assert snapshot.unobserved == ()
    assert (later.train["0"].rows, later.train["0"].dropped) == (6, 0)
    assert later.average_saturation("train") == later.train["0"].saturation


def nested(layout: torch.layout) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        parts = [x[:3].detach(), x[3:4].detach()]
        return torch.nested.nested_tensor(parts, layout=layout)

    return function


UNREADABLE = [
    pytest.param(lambda x: {"words": "done"}, "dict", id="dict"),
    pytest.param(lambda x: "done", "str", id="string"),
    pytest.param(lambda x: None, "None", id="None"),
    pytest.param(lambda x: (), "tuple", id="empty tuple"),
    pytest.param(lambda x: x.sum(), "(..., d)", id="single number"),
    pytest.param(lambda x: x.detach().to_sparse(), "sparse", id="sparse"),
    pytest.param(lambda x: x.to(torch.complex64), "complex", id="complex"),
]


@pytest.mark.parametrize(("function", "word"), UNREADABLE)
def test_a_layer_that_cannot_be_read_is_switched_off_with_one_warning(
    function: Callable[[Tensor], Any], word: str
) -> None:
    torch.manual_seed(2)
    model = Network(Apply(function))
    with fathom.watch(model, layers=["*", "odd"], budget=None) as monitor:
        snapshots: list[fathom.Snapshot] = []
        told = heard(lambda: snapshots.append(train(monitor, model)))
        assert heard(lambda: model(torch.randn(3, 4))) == []
        later = monitor.snapshot(step=1)
    assert len(told) == 1
    assert "odd" in told[0]
    assert word in told[0]
    assert "training goes on" in told[0]
    for snapshot in (*snapshots, later):
        assert list(snapshot.disabled) == ["odd"]
        assert word in snapshot.disabled["odd"]
        assert snapshot.unobserved == ()
        assert "odd" not in {**snapshot.train, **snapshot.eval}
    assert snapshots[0].train["first"].rows == snapshots[0].eval["last"].rows == 40
    assert later.eval["first"].rows == 3


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_counts_its_real_tokens_and_disturbs_nothing(layout: torch.layout) -> None:
    model = Network(Apply(nested(layout)))
    sound = Network(Apply(lambda x: x))
    sound.load_state_dict(model.state_dict())
    with fathom.watch(model, layers=["*", "odd"], budget=None) as monitor:
        inputs = torch.randn(6, 4)
        assert torch.equal(model(inputs), sound(inputs))
        snapshot = monitor.snapshot(step=0)
    assert snapshot.train["first"].rows == 6
    assert snapshot.disabled == {}
    assert (snapshot.train["odd"].rows, snapshot.train["odd"].samples) == (4, 2)


def test_whole_maps_whose_size_changes_switch_that_layer_off() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    with fathom.watch(model, conv="flatten", budget=None) as monitor:

        def call(size: int) -> None:
            model(torch.randn(5, 1, size, size))

        assert heard(lambda: call(6)) == []
        told = heard(lambda: call(8))
        assert heard(lambda: call(6)) == []
        snapshot = monitor.snapshot(step=0)
    assert len(told) == 1
    assert "layer 0 " in told[0]
    assert "(5, 3, 6, 6)" in told[0]
    assert list(snapshot.disabled) == ["0"]
    assert "48" in snapshot.disabled["0"]
    assert "108" in snapshot.disabled["0"]
    assert list(snapshot.train) == ["3"]
    assert snapshot.train["3"].rows == 15
    assert snapshot.unobserved == ()


def test_maps_of_other_sizes_pool_where_channels_are_the_rows() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3))
    with fathom.watch(model, budget=None) as monitor:
        model(torch.randn(5, 1, 6, 6))
        model(torch.randn(5, 1, 8, 7))
        snapshot = monitor.snapshot(step=0)
    assert snapshot.train["0"].rows == 5 * 16 + 5 * 30


def test_a_large_map_that_is_flattened_is_sketched() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.AdaptiveMaxPool2d(1), nn.Conv2d(8, 2, 1))
    with fathom.watch(model, conv="flatten", budget=None) as monitor:
        assert not heard(lambda: model(torch.randn(3, 1, 50, 50)))
        snapshot = monitor.snapshot(step=0)
    assert snapshot.train["0"].width == 20_000
    assert snapshot.train["0"].sketched
    assert not snapshot.train["2"].sketched


def test_warnings_that_are_errors_do_not_reach_the_training(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Network(Apply(lambda x: {"words": "done"}))
    with (
        warnings.catch_warnings(),
        fathom.watch(model, layers=["*", "odd"], budget=None) as monitor,
    ):
        warnings.simplefilter("error")
        snapshot = train(monitor, model)
    assert list(snapshot.disabled) == ["odd"]
    assert snapshot.train["last"].rows == 40
    (record,) = caplog.records
    assert record.name == "fathom"
    assert "layer odd " in record.getMessage()


STRICT = """
import torch, fathom
from torch import nn
from types import SimpleNamespace
class Odd(nn.Module):
    def forward(self, x):
        return SimpleNamespace(x=x)
class Dead:
    def write(self, snapshot): raise OSError("gone")
    def close(self): raise OSError("gone for good")
model = nn.Sequential(nn.Linear(3, 4), Odd())
with fathom.watch(model, layers=["0", "1"], sinks=[Dead()]) as monitor:
    for step in range(2):
        model(torch.randn(5, 3)).x.sum().backward()
        snapshot = monitor.snapshot(step=step)
print(list(snapshot.disabled), snapshot.train["0"].rows)
"""


def test_a_training_run_with_python_w_error_goes_on() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", STRICT], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "['1'] 5"
    assert result.stderr.count("layer 1 ") == 1
    assert result.stderr.count("sink Dead") == 1
