"""What a snapshot says: readings, averages, steps, and where else the numbers go."""

import math
from collections import OrderedDict
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference


class Backwards(nn.Module):
    """Registered in the opposite order to that in which it runs; `spare` is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 3)
        self.head = nn.Linear(8, 2)
        self.middle = nn.Linear(4, 8)
        self.stem = nn.Conv1d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        classes: Tensor = self.head(self.middle(self.stem(x).amax(-1)).relu())
        return classes


def show(model: nn.Module, inputs: Tensor, **options: Any) -> fathom.Snapshot:
    with fathom.watch(model, **options, budget=None) as monitor:
        model(inputs)
        return monitor.snapshot(step=0)


def mean_saturation(snapshot: fathom.Snapshot, *names: str) -> float:
    return sum(snapshot.train[name].saturation for name in names) / len(names)


def test_a_layer_that_is_never_called_is_unobserved_and_in_no_phase() -> None:
    snapshot = show(Backwards(), torch.randn(40, 1, 9))
    assert snapshot.unobserved == ("spare",)
    assert "spare" not in snapshot.train
    assert "spare" not in snapshot.eval
    assert "unobserved: spare" in repr(snapshot)


def test_the_output_layer_is_the_last_in_execution_order() -> None:
    torch.manual_seed(0)
    snapshot = show(Backwards(), torch.randn(300, 1, 9))
    assert snapshot.output_layer == "head"
    expected = mean_saturation(snapshot, "stem", "middle")
    assert snapshot.average_saturation("train") == pytest.approx(expected)
    assert expected != pytest.approx(mean_saturation(snapshot, "stem", "middle", "head"))


@pytest.mark.parametrize("layers", [["stem", "middle"], ["middle"]])
def test_an_output_layer_that_is_not_watched_is_still_the_output_layer(layers: list[str]) -> None:
    torch.manual_seed(1)
    snapshot = show(Backwards(), torch.randn(300, 1, 9), layers=layers)
    assert snapshot.output_layer == "head"
    expected = mean_saturation(snapshot, *layers)
    assert snapshot.average_saturation("train") == pytest.approx(expected)


def test_an_output_layer_that_was_first_called_in_a_pause_is_still_the_output_layer() -> None:
    model = Backwards()
    with fathom.watch(model, layers=["stem", "middle"], budget=None) as monitor:
        with monitor.pause():
            model(torch.randn(4, 1, 9))
        model(torch.randn(300, 1, 9))
        snapshot = monitor.snapshot(step=0)
    assert snapshot.output_layer == "head"
    expected = mean_saturation(snapshot, "stem", "middle")
    assert snapshot.average_saturation("train") == pytest.approx(expected)


@pytest.mark.parametrize("layers", [None, ["head"]], ids=["watched", "first calls alone"])
def test_the_order_is_that_of_the_model_whatever_part_was_analysed_first(
    layers: list[str] | None,
) -> None:
    model = nn.Sequential(OrderedDict(head=nn.Linear(4, 4), enc=nn.Linear(4, 4)))
    data = torch.randn(40, 4), torch.arange(40) % 2
    with fathom.watch(model, layers=layers, budget=None) as monitor:
        fathom.probe(model.get_submodule("enc"), data, data)
        with monitor.pause():
            fathom.probe(model.get_submodule("enc"), data, data)
        model(data[0])
        snapshot = monitor.snapshot(step=0)
    assert snapshot.output_layer == "enc"
    assert list(snapshot.train) == (layers or ["head", "enc"])


def test_execution_order_is_right_where_everything_was_first_called_in_a_pause() -> None:
    model = Backwards()
    with fathom.watch(model, budget=None) as monitor:
        with monitor.pause():
            model(torch.randn(4, 1, 9))
        model(torch.randn(30, 1, 9))
        assert list(monitor.snapshot(step=0).train) == ["stem", "middle", "head"]


def test_the_average_is_over_linear_and_convolutional_layers_alone() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(5)
            self.first = nn.Linear(5, 6)
            self.memory = nn.GRU(6, 7, batch_first=True)
            self.last = nn.Linear(7, 2)

        def forward(self, x: Tensor) -> Tensor:
            classes: Tensor = self.last(self.memory(self.first(self.norm(x)))[0])
            return classes

    torch.manual_seed(2)
    snapshot = show(Mixed(), torch.randn(50, 6, 5), layers=["*", "norm"])
    assert set(snapshot.train) == {"norm", "first", "memory", "last"}
    assert snapshot.average_saturation("train") == snapshot.train["first"].saturation


def test_an_average_over_nothing_is_nan() -> None:
    snapshot = show(nn.Linear(3, 3), torch.randn(20, 3))
    assert math.isnan(snapshot.average_saturation("train"))
    assert math.isnan(snapshot.average_saturation("eval"))


def test_the_attributes_of_a_reading() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 2))
    inputs = torch.randn(25, 4, 3)
    rows = model[0](inputs).detach().numpy().reshape(-1, 6)
    values = reference.eigenvalues(rows)
    reading = show(model, inputs, threshold=0.9).train["0"]
    assert reading.intrinsic_dimension == reference.intrinsic_dimension(values, 0.9)
    assert reading.saturation == reading.intrinsic_dimension / 6
    assert (reading.width, reading.rows, reading.samples, reading.calls) == (6, 100, 25, 1)
    assert (reading.dropped, reading.threshold, reading.phase) == (0, 0.9, "train")
    assert reading.rows_per_width == pytest.approx(100 / 6)
    assert reading.status == "settling"
    found = reading.eigenvalues
    assert found.dtype == torch.float64
    assert found.device.type == "cpu"
    assert bool((found[:-1] >= found[1:]).all())
    assert bool((found >= 0).all())
    expected = {
        "saturation": reading.saturation,
        "intrinsic_dimension": reading.intrinsic_dimension,
        "effective_rank": reference.effective_rank(values[:3]),
        "participation_ratio": reference.participation_ratio(values),
        "stable_rank": reference.stable_rank(values),
        "total_variance": values.sum(),
        "diagonal_trace": values.sum(),
        "idle_features": 0.0,
    }
    for name, number in expected.items():
        assert reading.statistics[name] == pytest.approx(number, rel=1e-4), name
    assert len(reading.statistics) == len(dict(reading.statistics)) >= len(expected)
    assert "saturation" in repr(reading)


@pytest.mark.parametrize(
    ("rows", "status"),
    [(39, "provisional"), (40, "settling"), (79, "settling"), (80, "settled")],
)
def test_the_status_follows_rows_per_width(rows: int, status: str) -> None:
    reading = show(nn.Linear(2, 4), torch.randn(rows, 2)).train[""]
    assert reading.status == status


def test_idle_features_are_told() -> None:
    layer = nn.Linear(4, 8)
    with torch.no_grad():
        layer.weight[[1, 5]] = 0
    assert show(layer, torch.randn(50, 4)).train[""].statistics["idle_features"] == 0.25


def test_rankme_is_there_only_when_asked_for() -> None:
    torch.manual_seed(4)
    layer, inputs = nn.Linear(5, 7), torch.randn(200, 5) + 2
    expected = reference.rankme(layer(inputs).detach().numpy())
    without = show(layer, inputs).train[""].statistics
    assert "rankme" not in without
    with pytest.raises(KeyError, match="rankme"):
        without["rankme"]
    for asked in (["rankme"], "rankme"):
        found = show(layer, inputs, statistics=asked).train[""].statistics["rankme"]
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("step", [4, 3, -1])
def test_a_step_that_does_not_rise_is_refused_and_nothing_is_lost(step: int) -> None:
    layer = nn.Linear(3, 4)
    with fathom.watch(layer, budget=None) as monitor:
        monitor.snapshot(step=4)
        layer(torch.randn(11, 3))
        with pytest.raises(fathom.ArgumentError, match=rf"step must come after 4.*got {step}\."):
            monitor.snapshot(step=step)
        layer(torch.randn(5, 3))
        assert monitor.snapshot(step=5).train[""].rows == 16


@pytest.mark.parametrize("step", ["3", 3.5, None, True])
def test_a_step_that_is_no_whole_number_is_refused(step: Any) -> None:
    layer, int_like = nn.Linear(3, 4), cast(int, np.int64(0))
    with fathom.watch(layer, budget=None) as monitor:
        layer(torch.randn(11, 3))
        with pytest.raises(fathom.ArgumentError, match="step must be a whole number"):
            monitor.snapshot(step=step)
        assert monitor.snapshot(step=int_like).train[""].rows == 11


@pytest.mark.parametrize("value", ["high", torch.ones(2), None, [1.0]])
def test_a_metric_that_is_no_number_is_refused_and_nothing_is_lost(value: Any) -> None:
    layer = nn.Linear(3, 4)
    with fathom.watch(layer, budget=None) as monitor:
        layer(torch.randn(11, 3))
        with pytest.raises(fathom.ArgumentError, match="loss must be a number"):
            monitor.snapshot(step=0, loss=value)
        loss = layer(torch.randn(5, 3)).mean()
        metrics: dict[str, Any] = {"loss": loss, "accuracy": np.float32(0.5), "epochs": 3}
        snapshot = monitor.snapshot(step=0, **metrics)
    assert snapshot.train[""].rows == 16
    assert snapshot.metrics == {"loss": loss.item(), "accuracy": 0.5, "epochs": 3.0}


class Notebook:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.snapshots: list[fathom.Snapshot] = []
        self.closed = 0

    def write(self, snapshot: fathom.Snapshot) -> None:
        self.snapshots.append(snapshot)

    def close(self) -> None:
        self.closed += 1


class Broken(Notebook):
    """A sink that fails from its second snapshot on."""

    def write(self, snapshot: fathom.Snapshot) -> None:
        super().write(snapshot)
        if len(self.snapshots) > 1:
            raise OSError("the disk is gone")


def test_sinks_get_every_snapshot_and_are_closed_once() -> None:
    layer, sinks = nn.Linear(3, 4), (Notebook(), Notebook())
    with fathom.watch(layer, sinks=sinks, budget=None) as monitor:
        taken = []
        for step in range(3):
            layer(torch.randn(9, 3))
            taken.append(monitor.snapshot(step=step, loss=step))
    monitor.close()
    for sink in sinks:
        assert len(sink.snapshots) == 3
        assert all(got is sent for got, sent in zip(sink.snapshots, taken, strict=True))
        assert sink.closed == 1


def test_a_sink_that_fails_is_switched_off_with_one_warning() -> None:
    layer, broken, sound = nn.Linear(3, 4), Broken(), Notebook()
    with fathom.watch(layer, sinks=[broken, sound], budget=None) as monitor:

        def train() -> None:
            for step in range(4):
                layer(torch.randn(9, 3))
                assert monitor.snapshot(step=step).train[""].rows == 9

        with pytest.warns(fathom.FathomWarning, match=r"Broken .*step 1.*disk is gone") as told:
            train()
    assert len(told) == 1
    assert [len(broken.snapshots), len(sound.snapshots)] == [2, 4]
    assert sound.closed == 1


def test_a_sink_that_fails_to_close_does_not_keep_the_hooks() -> None:
    class Stuck(Notebook):
        def close(self) -> None:
            raise OSError("no answer")

    layer, sound = nn.Linear(3, 4), Notebook()
    monitor = fathom.watch(layer, sinks=[Stuck(), sound], budget=None)
    with pytest.warns(fathom.FathomWarning, match=r"Stuck .*no answer") as told:
        monitor.close()
    assert len(told) == 1
    assert sound.closed == 1
    assert len(layer._forward_hooks) == 0
