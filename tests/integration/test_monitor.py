"""The monitor: windows, pauses, choices of layers and calls, sinks, and its end."""

import gc
import re
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)
    )


def images(count: int = 10) -> Tensor:
    return torch.randn(count, 1, 6, 6)


def hooks_on(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def assert_rows(reading: fathom.Reading, rows: Sequence[Tensor]) -> None:
    array = torch.cat(list(rows)).detach().double().numpy()
    expected = reference.eigenvalues(array)
    found = reading.eigenvalues.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected[0])
    assert reading.rows == len(array)


def test_a_snapshot_begins_the_next_window() -> None:
    model = nn.Sequential(nn.Linear(4, 6))
    first, second = torch.randn(30, 4), torch.randn(20, 4) * 3 + 1
    with fathom.watch(model, budget=None) as monitor:
        model(first)
        before = monitor.snapshot(step=0)
        model(second)
        after = monitor.snapshot(step=1)
        empty = monitor.snapshot(step=2)
    assert_rows(before.train["0"], [model(first)])
    assert_rows(after.train["0"], [model(second)])
    assert empty.train == empty.eval == {}
    assert empty.unobserved == ("0",)


def test_a_layer_that_is_not_called_in_one_window_comes_back_in_the_next() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(images())
        assert monitor.snapshot(step=0).unobserved == ()
        model[0](images())
        assert monitor.snapshot(step=1).unobserved == ("3", "5")
        model(images())
        assert monitor.snapshot(step=2).unobserved == ()


def test_nothing_is_recorded_in_a_pause() -> None:
    model = nn.Sequential(nn.Linear(4, 6))
    batches = [torch.randn(10, 4) for _ in range(6)]
    with fathom.watch(model, budget=None) as monitor:
        model(batches[0])
        monitor.pause()
        model(batches[1])
        monitor.resume()
        model(batches[2])
        with monitor.pause():
            model(batches[3])
            with monitor.pause():
                model(batches[4])
            model(batches[4])
        model(batches[5])
        reading = monitor.snapshot(step=0).train["0"]
    assert_rows(reading, [model(batches[index]) for index in (0, 2, 5)])
    assert reading.calls == 3


def test_a_block_inside_a_pause_does_not_end_it() -> None:
    model = nn.Sequential(nn.Linear(4, 6))
    with fathom.watch(model, budget=None) as monitor:
        monitor.pause()
        with monitor.pause():
            pass
        model(torch.randn(5, 4))
        assert monitor.snapshot(step=0).unobserved == ("0",)


def test_a_pause_ends_after_an_exception() -> None:
    model = nn.Sequential(nn.Linear(4, 6))
    with fathom.watch(model, budget=None) as monitor:
        with pytest.raises(ZeroDivisionError), monitor.pause():
            raise ZeroDivisionError
        model(torch.randn(5, 4))
        assert monitor.snapshot(step=0).train["0"].rows == 5


def test_close_ends_watching_and_a_second_close_does_nothing() -> None:
    model = network()
    monitor = fathom.watch(model, every=2, budget=None)
    model(images())
    assert not monitor.closed
    monitor.close()
    monitor.close()
    assert monitor.closed
    assert "closed" in repr(monitor)
    assert hooks_on(model) == 0
    with pytest.raises(fathom.ClosedError, match="snapshot: monitor must be open, got a closed"):
        monitor.snapshot(step=0)


def test_the_with_block_closes() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        assert hooks_on(model) > 0
    assert monitor.closed
    assert hooks_on(model) == 0


def test_a_monitor_that_nobody_holds_ends() -> None:
    model = network()
    monitor = fathom.watch(model, every=2, budget=None)
    model(images())
    gone = weakref.ref(monitor)
    del monitor
    gc.collect()
    assert gone() is None
    assert hooks_on(model) == 0
    assert model(images(2)).shape == (2, 3)


def test_a_model_is_not_kept_alive_by_a_closed_and_dropped_monitor() -> None:
    model = network()
    gone = weakref.ref(model)
    with fathom.watch(model, budget=None) as monitor:
        model(images())
        snapshot = monitor.snapshot(step=0)
    del model, monitor
    gc.collect()
    assert gone() is None
    assert snapshot.train["0"].rows == 160


@pytest.mark.parametrize(
    ("layers", "watched"),
    [
        (None, ["0", "3", "5"]),
        (["3"], ["3"]),
        ("3", ["3"]),
        (["[35]"], ["3", "5"]),
        (["*", "!5"], ["0", "3"]),
        (["5", "0"], ["0", "5"]),
        (lambda name, module: isinstance(module, nn.Linear), ["3", "5"]),
        (lambda name, module: name in {"1", "5"}, ["1", "5"]),
    ],
)
def test_layers_are_chosen_by_pattern_and_by_predicate(layers: Any, watched: list[str]) -> None:
    model = network()
    with fathom.watch(model, layers=layers, budget=None) as monitor:
        assert monitor.layers == watched
        model(images())
        assert list(monitor.snapshot(step=0).train) == watched


@pytest.mark.parametrize("every", [1, 2, 3])
def test_every_observes_each_kth_call_of_the_model_in_each_phase(every: int) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5))
    train = [torch.randn(8, 4) for _ in range(7)]
    evaluation = [torch.randn(8, 4) for _ in range(5)]
    with fathom.watch(model, every=every, budget=None) as monitor:
        for step in range(2):
            for index, batch in enumerate(train):
                model.train()
                model(batch)
                if index < len(evaluation):
                    model.eval()
                    model(evaluation[index])
            snapshot = monitor.snapshot(step=step)
            with monitor.pause():
                assert_rows(snapshot.train["0"], [model[0](x) for x in train[::every]])
                assert_rows(snapshot.eval["0"], [model[0](x) for x in evaluation[::every]])
            assert snapshot.train["1"].calls == len(train[::every])


def test_every_counts_calls_of_the_model_not_of_a_layer_called_twice_in_each() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.layer(self.layer(x))
            return output

    model = Twice()
    batches = [torch.randn(6, 4) for _ in range(5)]
    with fathom.watch(model, every=2, budget=None) as monitor:
        for batch in batches:
            model(batch)
        reading = monitor.snapshot(step=0).train["layer"]
    once = [model.layer(batch) for batch in batches[::2]]
    assert_rows(reading, [*once, *(model.layer(rows) for rows in once)])
    assert reading.calls == 6


def test_every_of_a_model_that_is_only_used_in_parts() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(4, 6), "head": nn.Linear(6, 2)})
    batches = [torch.randn(6, 4) for _ in range(8)]
    with fathom.watch(model, every=3, budget=None) as monitor:
        for batch in batches:
            model["head"](model["encoder"](batch))
        snapshot = monitor.snapshot(step=0)
    hidden = [model["encoder"](batch) for batch in batches[::3]]
    assert_rows(snapshot.train["encoder"], hidden)
    assert_rows(snapshot.train["head"], [model["head"](rows) for rows in hidden])


def test_a_pause_does_not_count_as_a_call() -> None:
    model = nn.Sequential(nn.Linear(4, 6))
    batches = [torch.randn(6, 4) for _ in range(4)]
    with fathom.watch(model, every=2, budget=None) as monitor:
        model(batches[0])
        with monitor.pause():
            model(batches[1])
        model(batches[2])
        model(batches[3])
        reading = monitor.snapshot(step=0).train["0"]
    assert_rows(reading, [model(batches[0]), model(batches[3])])


@pytest.mark.parametrize("limit", [1, 5, 16, 23, 100])
def test_max_samples_stops_at_exactly_so_many_in_each_phase(limit: int) -> None:
    model = network()
    train, evaluation = [images(8) for _ in range(4)], [images(16) for _ in range(2)]
    with fathom.watch(model, max_samples=limit, budget=None) as monitor:
        for step in range(2):
            for batch in train:
                model(batch)
            model.eval()
            for batch in evaluation:
                model(batch)
            model.train()
            snapshot = monitor.snapshot(step=step)
            for phase, batches in (("train", train), ("eval", evaluation)):
                kept = torch.cat(batches)[:limit]
                readings = snapshot.phase(phase)
                assert {reading.samples for reading in readings.values()} == {min(limit, 32)}
                with monitor.pause():
                    maps = model[0](kept)
                    assert_rows(readings["0"], [maps.transpose(0, 1).flatten(1).T])
                    assert_rows(readings["5"], [model(kept)])


def test_two_monitors_on_one_model_do_not_disturb_each_other() -> None:
    model = network()
    first = fathom.watch(model, conv="mean", budget=None)
    model(images(10))
    second = fathom.watch(model, layers=["0"], every=2, budget=None)
    model(images(20))
    one, other = first.snapshot(step=0), second.snapshot(step=7)
    assert one.train["0"].rows == 30
    assert other.train["0"].rows == 20 * 16
    first.close()
    model(images(5))
    model(images(6))
    assert second.snapshot(step=8).train["0"].rows == 5 * 16
    second.close()
    assert hooks_on(model) == 0


def test_print_names_layers_kinds_widths_rows_and_memory() -> None:
    model = nn.ModuleDict(
        {
            "stem": nn.Conv2d(1, 256, 3),
            "memory": nn.LSTM(4, 8, bidirectional=True),
            "block": nn.Identity(),
        }
    )
    options: Any = {"conv": "mean", "timesteps": "last", "layers": ["*", "block"]}
    with fathom.watch(model, **options, budget=None) as monitor:
        header, stem, memory, block, total = str(monitor).splitlines()
    assert header.split() == ["layer", "kind", "width", "a", "row", "is", "memory"]
    # Two phases of width² float64 numbers, and as many of float32.
    assert re.split("  +", stem) == ["stem", "convolution", "256", "mean over positions", "1.5 MiB"]
    assert re.split("  +", memory) == ["memory", "recurrent", "16", "last time step", "6.0 KiB"]
    assert re.split("  +", block) == ["block", "other", "?", "a position", "?"]
    assert "3 layers" in total
    assert "1.5 MiB" in total
    assert "nothing is recorded; every row, conv='mean', timesteps='last'" in total


def test_print_says_that_a_sample_is_read_unasked() -> None:
    with fathom.watch(nn.Linear(2, 2)) as monitor:
        assert "an even sample of the rows within budget=0.02" in str(monitor)


def test_a_report_prints_as_a_table() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    with fathom.watch(model, budget=None) as monitor:
        model[0](torch.randn(1200, 3))
        header, seen, not_seen = repr(monitor.report()).splitlines()
    assert header.split() == ["layer", "state", "calls", "rows", "dropped", "padded", "reason"]
    assert seen.split() == ["0", "observed", "1", "1,200", "0", "0"]
    assert not_seen.split()[:3] == ["1", "not", "called"]
    assert not_seen.endswith(monitor.report()[1].reason)
