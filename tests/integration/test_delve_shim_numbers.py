"""Numbers of one's own, and what is said of those that `fathom.delve` has not."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import fathom
from fathom.delve import CheckLayerSat, SaturationTracker, torchcallback
from fathom.delve.writers import CSVWriter, PrintWriter
from tracked import network, nothing_told, numbers, rows, train

# torch's own writer of events, with the protobuf of today.
pytestmark = pytest.mark.filterwarnings("ignore:Type google:DeprecationWarning")


def test_the_run_has_ones_own_numbers_at_the_epochs_of_the_table(tmp_path: Path) -> None:
    folder, model = tmp_path / "x", network()
    tracker = SaturationTracker(folder, "csv", model)
    for epoch in range(3):
        model(torch.randn(40, 6))
        tracker.add_scalar("loss", 10 + epoch)
        tracker.add_scalars("my", {"f1": epoch / 4, "step": 7, "note": "text"})
        # Two at once: the second waits for its epoch.
        if epoch == 0:
            tracker.add_scalar("rate", 0.5)
            tracker.add_scalar("rate", 0.25)
        tracker.add_saturations()
    tracker.close()
    with fathom.open_run(folder / "fathom") as run:
        assert list(run.metrics) == ["loss", "f1", "rate"]
        for name, values in run.metrics.items():
            np.testing.assert_array_equal(values, numbers(folder, name))
        assert run.metrics["loss"].tolist() == [10, 11, 12]


def test_numbers_that_come_after_their_epoch_are_not_taken_for_those_of_the_next(
    tmp_path: Path,
) -> None:
    folder, model = tmp_path / "x", network()
    tracker = SaturationTracker(folder, "csv", model)

    def epoch(number: int) -> None:
        model(torch.randn(40, 6))
        tracker.add_scalar("before", number)
        tracker.add_saturations(save=False)
        tracker.add_scalar("loss", 10 + number)
        tracker.add_scalars("my", {"f1": number})
        tracker.save()

    with pytest.warns(fathom.FathomWarning, match="'loss' of epoch 0 came after") as told:
        epoch(0)
    assert len(told) == 1
    with nothing_told():
        epoch(1)
        epoch(2)
    tracker.close()
    assert numbers(folder, "loss") == [10, 11, 12]
    with fathom.open_run(folder / "fathom") as run:
        assert {name: values.tolist() for name, values in run.metrics.items()} == {
            "before": [0, 1, 2]
        }


def test_odd_names_and_values_end_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = tmp_path / "x", network()
    tracker = SaturationTracker(folder, ["csv", "npy", "tb", "print", "plot"], model)
    values: list[tuple[Any, Any]] = [
        (3, 0.5),
        ("none", None),
        ("text", "good"),
        ("large", 10**400),
        ("inside", 1j),
        ("nan", math.nan),
        ("array", np.ones(3)),
    ]
    with nothing_told():
        for _ in range(2):
            for name, value in values:
                tracker.add_scalar(name, value)
            model(torch.randn(40, 6))
            tracker.add_saturations()
    assert len(tracker.writer.writers) == 5
    tracker.close()
    assert len(rows(folder)) == 2
    for row in rows(folder):
        assert [row[name] for name in ("3", "none", "text", "nan")] == ["0.5", "", "good", ""]
        assert row["large"] == str(10**400)
    with fathom.open_run(folder / "fathom") as run:
        assert run.metrics["3"].tolist() == [0.5, 0.5]
        assert list(run.metrics) == ["3", "none", "nan"]
        assert np.isnan(run.metrics["none"]).all()
    events = EventAccumulator(str(folder)).Reload()
    assert [(each.step, each.value) for each in events.Scalars("3")] == [(0, 0.5), (1, 0.5)]
    assert set(events.Tags()["scalars"]) == {"3", "train-saturation_0", "train-saturation_2"}
    assert "3 : 0.5" in capsys.readouterr().out


def test_a_value_that_is_no_number_keeps_its_place_in_tensorboard(tmp_path: Path) -> None:
    tracker = SaturationTracker(tmp_path / "x", "tb", network())
    for value in (1, None, "text", 4):
        tracker.add_scalar("score", value)
    tracker.close()
    found = EventAccumulator(str(tmp_path / "x")).Reload().Scalars("score")
    assert [(each.step, each.value) for each in found] == [(0, 1), (3, 4)]


def test_a_picture_that_fails_ends_the_pictures_alone(tmp_path: Path) -> None:
    calls = []

    def change(axes: Any) -> None:
        calls.append(axes)
        raise KeyError("untested")

    with pytest.warns(fathom.FathomWarning, match="a picture could not .* KeyError") as told:
        found = train(
            tmp_path / "x",
            "plotcsv",
            epochs=range(3),
            writer_args={"plot_manipulation_func": change},
        )
    assert len([each for each in told if "picture" in f"{each.message}"]) == 1
    assert len(found) == 3
    assert len(calls) == 1
    assert not list(tmp_path.glob("*.png"))


class Alike(PrintWriter):
    """Equal to every other."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.taken: list[Any] = []

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        if self.fails:
            raise OSError("no space left")
        self.taken.append(value)


def test_of_writers_that_are_equal_the_one_that_fails_is_switched_off(tmp_path: Path) -> None:
    good, bad = Alike(fails=False), Alike(fails=True)
    tracker = SaturationTracker(tmp_path / "x", [good, bad], network())
    with pytest.warns(fathom.FathomWarning, match="Alike failed .*no space left"):
        tracker.add_scalar("loss", 1)
    tracker.add_scalar("loss", 2)
    tracker.close()
    assert good.taken == [1, 2]
    assert [each is good for each in tracker.writer.writers] == [True]


def test_a_layer_that_is_sketched_is_told_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4200), nn.Linear(4200, 3))
    tracker = SaturationTracker(
        tmp_path / "x", ["csv", "npy"], model, stats=["lsat", "idim", "cov", "det", "trc"]
    )
    batch = torch.randn(40, 4)
    model(batch)
    with pytest.warns(fathom.FathomWarning, match="layer '0' of width 4200 is too wide") as told:
        tracker.add_saturations()
    assert len(told) == 1
    with nothing_told():
        model(batch)
        tracker.add_saturations()
    tracker.close()
    trace = model[0](batch).detach().double().var(0, correction=0).sum().item()
    for row in rows(tmp_path / "x"):
        assert float(row["train-covariance-trace_0"]) == pytest.approx(trace, rel=1e-4)
        # Four features go in, so the sketch holds it all.
        assert int(row["train-intrinsic-dimensionality_0"]) == 4
        assert row["train-covariance-determinant_0"] == ""
        assert row["train-covariance-determinant_1"] != ""


EMBEDS = """
import sys, torch
from fathom.delve import SaturationTracker
model = torch.nn.Sequential(torch.nn.Linear(4, 3))
tracker = SaturationTracker(sys.argv[1], "csv", model, stats=["lsat", "embed"])
model(torch.randn(30, 4))
tracker.add_saturations()
tracker.close()
"""


def test_embed_is_taken_and_left_out_with_a_word(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EMBEDS, str(tmp_path / "x")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("'embed' is left out") == 1
    assert [list(row) for row in rows(tmp_path / "x")] == [["", "train-saturation_0"]]


def test_what_a_tracker_of_delves_has_is_there(tmp_path: Path) -> None:
    tracker = torchcallback.CheckLayerSat(
        tmp_path / "x",
        "csv",
        network(),
        sat_threshold=0.9,
        max_samples=30,
        device="cuda:0",
        ignore_layer_names=["2"],
    )
    assert isinstance(tracker, CheckLayerSat)
    tracker.add_scalar("loss", 1)
    assert tracker.value_dict == {"loss": [1]}
    assert tracker.savepath == str(tmp_path / "x")
    found = {
        name: getattr(tracker, name)
        for name in (
            *("threshold", "max_samples", "log_interval", "conv_method", "timeseries_method"),
            *("include_conv", "ignore_layer_names", "layerwise_sat", "average_sat", "nosave"),
            *("verbose", "device", "initial_epoch", "reset_covariance", "stats", "record"),
            *("interpolation_strategy", "interpolation_downsampling"),
        )
    }
    assert list(found.values()) == [
        *(0.9, 30, 1, "channelwise", "last_timestep"),
        *(True, ["2"], True, False, False),
        *(False, "cuda:0", 0, True, ["lsat"], True),
        *(None, 32),
    ]
    for name in ("logs", "seen_samples", "_start", "_path"):
        with pytest.raises(AttributeError, match=name):
            getattr(tracker, name)
    tracker.close()
    with pytest.raises(AttributeError, match="value_dict"):
        _ = SaturationTracker(tmp_path / "y", [], network()).value_dict
    assert isinstance(CSVWriter(tmp_path / "z").value_dict, dict)
