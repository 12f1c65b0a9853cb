"""What `fathom.delve` writes, read back: each of `save_to`, and each epoch of a column."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fathom
from fathom.delve import SaturationTracker, reconstruct_csv_from_npy_data
from fathom.delve.writers import AbstractWriter, CSVandPlottingWriter, CSVWriter, NPYWriter
from tracked import network, numbers, rows, train

# torch's own writer of events, with the protobuf of today.
pytestmark = pytest.mark.filterwarnings("ignore:Type google:DeprecationWarning")


def test_the_table_has_the_numbers_of_the_run_that_lies_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    train(folder, stats=["lsat", "idim", "det", "trc", "dtrc"], sat_threshold=0.9)
    with fathom.open_run(folder / "fathom") as run:
        assert run.steps == [0, 1]
        assert run.metrics["loss"].tolist() == numbers(folder, "loss") == [1, 0.5]
        for name, statistic in (
            ("saturation", "saturation"),
            ("intrinsic-dimensionality", "intrinsic_dimension"),
            ("covariance-determinant", "determinant"),
            ("covariance-trace", "total_variance"),
            ("diagonal-trace", "diagonal_trace"),
        ):
            for phase in ("train", "eval"):
                found = [numbers(folder, f"{phase}-{name}_{layer}") for layer in ("0", "2")]
                expected = run.statistic(statistic, phase=phase)
                np.testing.assert_allclose(np.array(found).T, expected, rtol=1e-6)
    assert [row[""] for row in rows(folder)] == ["0", "1"]


@pytest.mark.parametrize("name", ["plot", "plotcsv", "csvplot", "csvplotting"])
def test_plots_are_pictures_of_each_statistic_phase_and_epoch(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "experiment"
    assert len(train(folder, name, stats=["lsat", "idim"])) == 2
    found = sorted(path.name for path in tmp_path.glob("*.png"))
    assert found == sorted(
        f"experiment_{stat}_{phase}_epoch_{epoch}.png"
        for stat in ("lsat", "idim")
        for phase in ("train", "eval")
        for epoch in (0, 1)
    )
    for path in tmp_path.glob("*.png"):
        assert imread(path).std() > 0


def test_options_of_pictures(tmp_path: Path) -> None:
    titles = []
    options = {
        "primary_metric": "loss",
        "figsize": (3, 2),
        "fontsize": 7,
        "plot_manipulation_func": lambda axes: titles.append(axes.get_title(loc="left")),
    }
    train(tmp_path / "experiment", ["plot"], writer_args=options, epochs=range(1))
    assert titles == [
        "experiment · epoch 0 · train · loss 1",
        "experiment · epoch 0 · eval · loss 1",
    ]
    assert imread(tmp_path / "experiment_lsat_eval_epoch_0.png").shape[:2] == (200, 300)
    assert "savepath" not in options


@pytest.mark.parametrize("name", ["tensorboard", "tb"])
def test_tensorboard_has_scalars_at_their_epochs(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "experiment"
    train(folder, ["csv", name])
    train(folder, ["csv", name], epochs=range(1, 3), initial_epoch=1)
    events = EventAccumulator(str(folder)).Reload()
    for tag in ("loss", "train-saturation_0", "eval-saturation_2"):
        scalars = events.Scalars(tag)
        assert [each.step for each in scalars] == [0, 1, 2]
        assert [each.value for each in scalars] == pytest.approx(numbers(folder, tag))


def test_numbers_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "experiment"
    (row,) = train(folder, ["print", "csv"], epochs=range(1), stats=["lsat", "cov"])
    printed = [line for line in capsys.readouterr().out.splitlines() if " : " in line]
    assert printed == ["loss : 1.0"] + [
        f"_{name} : {float(row[name])}" for name in row if "saturation" in name
    ]
    train(tmp_path / "quiet", "csv", epochs=range(1), verbose=True)
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_npy_files_hold_scalars_and_covariances_and_can_be_packed(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    train(folder, "npy", stats=["lsat", "cov"], writer_args={"zip": True})
    names = {path.name for path in folder.iterdir()} - {"fathom"}
    kinds = ("saturation", "covariance-matrix")
    assert names == {"loss"} | {
        f"_{phase}-{kind}_{layer}"
        for phase in ("train", "eval")
        for kind in kinds
        for layer in ("0", "2")
    }
    with fathom.open_run(folder / "fathom") as run:
        covariance, _ = run.covariance("2", step=1, phase="eval")
    name = "_eval-covariance-matrix_2"
    np.testing.assert_array_equal(np.load(folder / name / f"{name}_epoch1.npy"), covariance.numpy())
    with ZipFile(f"{folder}.zip") as archive:
        assert sorted(archive.namelist()) == sorted(
            f"{path.relative_to(folder)}" for path in folder.rglob("*.npy")
        )
    assert not list(tmp_path.rglob("*.pkl"))


def test_every_column_has_its_values_at_their_epochs(tmp_path: Path) -> None:
    folder, model = tmp_path / "experiment", network()
    tracker = SaturationTracker(folder, ["csv", "npy"], model, stats=["lsat", "cov"])
    for epoch in range(5):
        if epoch == 3:
            tracker.stop()
            assert not tracker.is_recording()
        if epoch == 4:
            tracker.resume()
            assert tracker.is_recording()
        model.train()
        model(torch.randn(40, 6))
        if epoch in (1, 4):
            model.eval()
            model(torch.randn(40, 6))
        tracker.add_saturations()
        tracker.add_scalar("after", epoch)
    assert len(rows(folder)) == 5
    tracker.close()
    nothing = [math.isnan(each) for each in numbers(folder, "train-saturation_0")]
    assert nothing == [False, False, False, True, False]
    nothing = [math.isnan(each) for each in numbers(folder, "eval-saturation_2")]
    assert nothing == [True, False, True, True, False]
    assert numbers(folder, "after") == [0, 1, 2, 3, 4]
    name = "_eval-covariance-matrix_0"
    shapes = [np.load(folder / name / f"{name}_epoch{n}.npy").shape for n in range(5)]
    assert shapes == [(), (5, 5), (), (), (5, 5)]
    table = reconstruct_csv_from_npy_data(folder, thresh=0.99)
    assert table["_eval-saturation_0"].isna().tolist() == [True, False, True, True, False]


def test_a_column_that_misses_epochs_is_told(tmp_path: Path) -> None:
    model = network()
    tracker = SaturationTracker(tmp_path / "experiment", "csv", model)
    tracker.add_scalar("rare", 1)
    for _ in range(2):
        model(torch.randn(40, 6))
        tracker.add_saturations()
    model(torch.randn(40, 6))
    with pytest.warns(fathom.FathomWarning, match="column 'rare' has 1 values where others have 3"):
        tracker.add_saturations()
    model(torch.randn(40, 6))
    tracker.add_saturations()
    tracker.close()
    assert len(rows(tmp_path / "experiment")) == 4


def test_save_is_apart_where_that_is_asked_for(tmp_path: Path) -> None:
    folder, model = tmp_path / "experiment", network()
    tracker = SaturationTracker(folder, "csv", model)
    model(torch.randn(40, 6))
    tracker.add_saturations(save=False)
    assert not rows(folder)
    tracker.add_scalar("accuracy", torch.tensor(0.5))
    tracker.add_scalars("my", {"f1": np.float32(0.25), "count": 3})
    tracker.save()
    (row,) = rows(folder)
    assert [row[name] for name in ("accuracy", "f1", "count")] == ["0.5", "0.25", "3"]
    tracker.close()


def test_the_averages_are_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    train(folder, average_sat=True)
    # Of two layers the last is the output layer.
    assert numbers(folder, "average-eval-sat") == numbers(folder, "eval-saturation_0")
    assert numbers(folder, "average-train-sat") == numbers(folder, "train-saturation_0")


def test_nosave_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = ["csv", "plot", "npy", "tb", "print"]
    train(tmp_path / "experiment", everything, nosave=True, stats=["lsat", "cov"])
    assert not list(tmp_path.iterdir())
    assert not capsys.readouterr().out


class Kept(AbstractWriter):
    """A writer of the user's own."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def resume_from_saved_state(self, initial_epoch: int) -> None:
        raise NotImplementedError

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        self.calls.append((name, value))

    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        self.calls.append((prefix, *value_dict, *kwargs))

    def add_figure(self, name: str) -> None:
        self.calls.append(name)

    def save(self) -> None:
        self.calls.append("save")

    def close(self) -> None:
        self.calls.append("close")


def test_a_writer_of_ones_own_is_called_as_delve_calls_it(tmp_path: Path) -> None:
    writer, model = Kept(), network()
    with pytest.warns(fathom.FathomWarning, match="Kept cannot go on"):
        tracker = SaturationTracker(tmp_path / "x", writer, model, initial_epoch=3)
    model(torch.randn(40, 6))
    tracker.add_scalar("loss", 2)
    tracker.add_figure("layers")
    tracker.add_saturations()
    tracker.close()
    assert writer.calls == [
        ("loss", 2),
        "layers",
        ("", "train-saturation_0", "sample_value_dict"),
        ("", "train-saturation_2", "sample_value_dict"),
        "save",
        "close",
    ]
    with pytest.raises(AttributeError, match="add_nothing"):
        tracker.add_nothing()


class Dead(Kept):
    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        raise OSError("no space left")


def test_a_writer_that_fails_is_switched_off_and_the_others_go_on(tmp_path: Path) -> None:
    model = network()
    folder = tmp_path / "experiment"
    writers = [Dead(), CSVWriter(folder), NPYWriter(folder), CSVandPlottingWriter(tmp_path / "p")]
    tracker = SaturationTracker(folder, writers, model)
    model(torch.randn(40, 6))
    with pytest.warns(fathom.FathomWarning, match=r"Dead failed .*no space left"):
        tracker.add_saturations()
    model(torch.randn(40, 6))
    tracker.add_saturations()
    tracker.close()
    assert len(rows(folder)) == len(rows(tmp_path / "p")) == 2
