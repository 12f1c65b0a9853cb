"""One script, run with the Delve package and with fathom.delve: the same files, and numbers."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import delve
import numpy as np
import pandas
import pytest
import torch
from torch import Tensor, nn

import fathom.delve
from fathom.delve.writers import STATMAP

# Delve leaves the file of its pickle to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file.*epoch_counter.pkl:ResourceWarning")

STATS = ["idim", "lsat", "det", "trc", "dtrc"]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 6, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, batch: Tensor) -> Any:
        return self.head(self.lstm(batch)[0][:, -1])


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Sequential(nn.Linear(9, 7)))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.Flatten(), nn.Linear(20, 3)
    )


MODELS: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (linear, (12,)),
    (convolutional, (1, 6, 6)),
    (Recurrent, (7, 3)),
]


def script(
    package: Any,
    folder: Path,
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    **options: Any,
) -> None:
    """Train for three epochs of one batch each, as Delve's own examples do."""
    torch.manual_seed(0)
    model = make()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    tracker = package.SaturationTracker(
        str(folder), modules=model, **{"device": "cpu", "stats": STATS, "save_to": "csv"} | options
    )
    for epoch in range(3):
        model.train()
        loss = model(torch.randn(60, *shape)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.eval()
        with torch.no_grad():
            model(torch.randn(50, *shape))
        tracker.add_scalar("loss", loss.item())
        tracker.add_scalar("epoch", epoch)
        tracker.add_saturations()
    tracker.close()


def both(
    tmp_path: Path, make: Callable[[], nn.Module], shape: tuple[int, ...], **options: Any
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    tables = []
    for package in (delve, fathom.delve):
        folder = tmp_path / package.__name__
        script(package, folder, make, shape, **options)
        tables.append(pandas.read_csv(f"{folder}.csv", sep=";", index_col=0))
    return tables[0], tables[1]


def assert_equal_but_for_one(theirs: pandas.DataFrame, ours: pandas.DataFrame) -> None:
    """Dimensions are one more than Delve's; the rest is the same."""
    assert list(ours.columns) == list(theirs.columns)
    assert list(ours.index) == list(theirs.index)
    for name in ours.columns:
        mine, other = ours[name].to_numpy(), theirs[name].to_numpy()
        if "intrinsic" in name:
            np.testing.assert_array_equal(mine, other + 1)
            assert mine.dtype == other.dtype == np.dtype("int64")
        elif "saturation" in name:
            dimension = name.replace("saturation", "intrinsic-dimensionality")
            width = ours[dimension].to_numpy() / mine
            np.testing.assert_allclose(theirs[dimension].to_numpy() / width, other)
        else:
            np.testing.assert_allclose(mine, other, rtol=2e-3 if "determinant" in name else 1e-5)


@pytest.mark.parametrize(("make", "shape"), MODELS)
def test_the_table_has_the_same_columns_rows_and_numbers(
    tmp_path: Path, make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    theirs, ours = both(tmp_path, make, shape)
    assert len(ours) == 3
    assert_equal_but_for_one(theirs, ours)


@pytest.mark.parametrize(
    "options",
    [
        {"conv_method": "mean"},
        {"conv_method": "max"},
        {"conv_method": "flatten"},
        {"max_samples": 20},
        {"sat_threshold": 0.7},
        {"interpolation_strategy": "bilinear", "interpolation_downsampling": 2},
        {"ignore_layer_names": ["0"]},
        {"layer_filter": lambda layers: {f"my_{k}": v for k, v in layers.items() if k != "2"}},
        {"layerwise_sat": False},
    ],
)
def test_the_arguments_mean_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    stats = [stat for stat in STATS if stat != "det"]
    theirs, ours = both(tmp_path, convolutional, (1, 6, 6), stats=stats, **options)
    assert_equal_but_for_one(theirs, ours)


def test_the_folders_and_files_of_npy_are_the_same_and_hold_the_same(tmp_path: Path) -> None:
    found = []
    for package in (delve, fathom.delve):
        folder = tmp_path / package.__name__
        script(package, folder, linear, (12,), save_to=["npy"], stats=[*STATS, "cov"])
        files = {f"{path.relative_to(folder)}": path for path in folder.rglob("*.npy")}
        found.append(files)
    theirs, ours = found
    assert sorted(ours) == sorted(theirs)
    # Of two layers in two phases six statistics, and two scalars, at three epochs.
    assert len(ours) == (2 * 2 * 6 + 2) * 3
    for name in ours:
        mine, other = np.load(ours[name]), np.load(theirs[name])
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
        if not {"saturation", "dimensionality"} & {*name.replace("_", "-").split("-")}:
            np.testing.assert_allclose(mine, other, rtol=2e-3, atol=1e-6)
    assert not list((tmp_path / "fathom.delve").rglob("*.pkl"))


def test_the_table_from_npy_files_has_the_same_columns_and_the_true_dimensions(
    tmp_path: Path,
) -> None:
    for package in (delve, fathom.delve):
        script(
            package, tmp_path / package.__name__, linear, (12,), save_to="npy", stats=["cov", "trc"]
        )
    theirs = delve.reconstruct_csv_from_npy_data(
        str(tmp_path / "delve"), str(tmp_path / "theirs.csv"), 0.8, ["lsat", "idim"]
    )
    ours = fathom.delve.reconstruct_csv_from_npy_data(
        str(tmp_path / "fathom.delve"), str(tmp_path / "ours.csv"), 0.8, ["lsat", "idim"]
    )
    # Their order is that in which the system lists the folders.
    assert list(ours.columns) == sorted(theirs.columns)
    assert len(ours) == len(theirs) == 3
    for name in ours.columns:
        if "dimensionality" in name:
            np.testing.assert_array_equal(ours[name].to_numpy(), theirs[name].to_numpy() + 1)
    written = pandas.read_csv(tmp_path / "ours.csv", sep=";", index_col=0)
    pandas.testing.assert_frame_equal(written, ours)
    # Of the files that Delve wrote, the dimensions are those of fathom's own.
    from_theirs = fathom.delve.reconstruct_csv_from_npy_data(tmp_path / "delve", thresh=0.8)
    of_delve = from_theirs[[name for name in from_theirs if "dimensionality" in name]]
    pandas.testing.assert_frame_equal(of_delve, ours[list(of_delve.columns)])


def test_of_several_batches_all_count_not_the_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    batches = torch.randn(10, 30, 5)
    found = {}
    for package in (delve, fathom.delve):
        linear_layer = nn.Linear(5, 12)
        layer = nn.Sequential(linear_layer)
        with torch.no_grad():
            linear_layer.weight.copy_(torch.arange(60.0).reshape(12, 5).sin())
        folder = tmp_path / package.__name__
        tracker = package.SaturationTracker(str(folder), "csv", layer, stats=["trc"], device="cpu")
        for batch in batches:
            layer(batch)
        tracker.add_saturations()
        tracker.close()
        found[package] = float(
            pandas.read_csv(f"{folder}.csv", sep=";")["train-covariance-trace_0"].iloc[0]
        )
        outputs = layer(batches).detach().double()
    expected = {
        delve: outputs[-1].var(0, correction=0).sum().item(),
        fathom.delve: outputs.reshape(300, 12).var(0, correction=0).sum().item(),
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[delve] != pytest.approx(found[fathom.delve], rel=1e-2)


def test_the_names_of_statistics_and_writers_are_delves() -> None:
    assert dict(STATMAP) == delve.writers.STATMAP
    assert {name: kind.__name__ for name, kind in fathom.delve.writers.WRITERS.items()} == {
        name: kind.__name__ for name, kind in delve.writers.WRITERS.items()
    }
    for name in ("csv", "npy", "console", "tensorboard"):
        assert getattr(fathom.delve, name).__name__ == getattr(delve, name).__name__


def test_the_arguments_and_their_order_are_delves() -> None:
    for theirs, ours in (
        (delve.SaturationTracker, fathom.delve.SaturationTracker),
        (delve.torchcallback.CheckLayerSat, fathom.delve.CheckLayerSat),
        (delve.reconstruct_csv_from_npy_data, fathom.delve.reconstruct_csv_from_npy_data),
        (delve.writers.CSVandPlottingWriter, fathom.delve.writers.CSVandPlottingWriter),
        (delve.writers.NPYWriter, fathom.delve.writers.NPYWriter),
    ):
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )
