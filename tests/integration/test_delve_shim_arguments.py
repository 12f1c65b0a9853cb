"""Every argument of Delve's: taken, followed, or refused with what to do."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import delve
import numpy as np
import pytest
import torch
from torch import nn

import fathom
import reference
from fathom.delve import CheckLayerSat, SaturationTracker, reconstruct_csv_from_npy_data
from fathom.delve.writers import NPYWriter
from tracked import nothing_told, numbers


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
        self.lstm = nn.LSTM(3, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, images: torch.Tensor) -> Any:
        maps = self.convolutions(images)
        return self.head(self.lstm(maps.flatten(2).permute(2, 0, 1))[0])


def saturations(tmp_path: Path, modules: Any = None, **options: Any) -> dict[str, float]:
    """Track one batch, and return what was written."""
    torch.manual_seed(0)
    model = Everything()
    chosen = model if modules is None else modules(model)
    tracker = SaturationTracker(
        **{"savefile": tmp_path / "x", "save_to": "npy", "modules": chosen, **options}
    )
    model(torch.randn(30, 1, 7, 7))
    tracker.add_saturations()
    tracker.close()
    return {
        path.name.removeprefix("_train-saturation_"): float(np.load(next(path.iterdir())))
        for path in sorted((tmp_path / "x").iterdir())
        if path.name.startswith("_train-saturation_")
    }


ALL = {"convolutions-0", "convolutions-2", "head", "lstm"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ALL),
        ({"include_conv": False}, {"head", "lstm"}),
        ({"ignore_layer_names": ["head"]}, ALL - {"head"}),
        ({"layer_filter": lambda layers: {"mine": layers["head"]}}, {"mine"}),
        ({"modules": lambda model: (model.convolutions, model.lstm)}, {"0", "2", "Module-1-LSTM"}),
        ({"modules": lambda model: model.head}, {""}),
    ],
)
def test_layers_are_chosen(tmp_path: Path, options: dict[str, Any], names: set[str]) -> None:
    found = saturations(tmp_path, **options)
    assert set(found) == names
    assert all(0 < value <= 1 for value in found.values())


@pytest.mark.parametrize(
    "modules",
    [
        lambda model: model,
        lambda model: [model],
        lambda model: model.convolutions,
        lambda model: model.lstm,
        lambda model: [model.convolutions, model.lstm],
        lambda model: [model.convolutions[0], model.head],
        nn.DataParallel,
    ],
)
def test_layers_have_the_names_that_delve_gives_them(
    tmp_path: Path, modules: Callable[[Everything], Any]
) -> None:
    theirs = delve.SaturationTracker(str(tmp_path / "y"), "csv", modules(Everything()))
    assert set(saturations(tmp_path, modules)) == set(theirs.layers)


def test_two_modules_of_a_list_with_layers_of_one_name_are_both_there(tmp_path: Path) -> None:
    found = saturations(tmp_path, lambda model: [model.convolutions, nn.ModuleList([model.head])])
    assert set(found) == {"0", "2", "1-0"}


@pytest.mark.parametrize(
    "options",
    [
        {"device": "cuda:0"},
        {"verbose": True},
        {"log_interval": 1},
        {"max_samples": 10},
        {"reset_covariance": False},
        {"average_sat": True},
        {"writer_args": {"zip": True}},
        {"writer_args": None},
        {"stats": "lsat"},
        {"stats": ("lsat", "lsat_train", "idim")},
        {"timeseries_method": "timestepwise"},
        {"interpolation_strategy": "nearest", "interpolation_downsampling": 3},
        {"conv_method": "median"},
        {"save_to": ["npy", "csv", ["print"]]},
        {"savefile": "x"},
    ],
)
def test_arguments_that_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(saturations(tmp_path, **options)) == ALL


def traces(tmp_path: Path, model: nn.Module, batches: torch.Tensor, **options: Any) -> list[float]:
    """Return the variance of the first convolution at each epoch, of a batch each."""
    tracker = SaturationTracker(tmp_path / "x", "csv", model, stats=["trc"], **options)
    for batch in batches:
        model(batch)
        tracker.add_saturations()
    tracker.close()
    return numbers(tmp_path / "x", "train-covariance-trace_convolutions-0")


def test_the_median_of_a_map_is_the_mean_of_the_two_in_the_middle(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batches = Everything(), torch.randn(1, 30, 1, 8, 8)
    maps = model.convolutions[0](batches[0]).detach().numpy()
    rows = np.median(maps.reshape(30, 4, 36), axis=2)
    expected = reference.eigenvalues(rows).sum()
    found = traces(tmp_path, model, batches, conv_method="median")
    assert found == pytest.approx([expected], rel=1e-4)
    assert traces(tmp_path, model, batches, conv_method="mean") != pytest.approx(found, rel=1e-2)


def test_maps_are_reduced_by_bilinear_steps_whatever_the_strategy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batches = Everything(), torch.randn(1, 30, 1, 8, 8)
    maps = model.convolutions[0](batches[0]).detach()
    reduced = nn.functional.interpolate(maps, size=(3, 3), mode="bilinear")
    expected = reference.eigenvalues(reduced.permute(0, 2, 3, 1).reshape(-1, 4).numpy()).sum()
    for strategy in ("bilinear", "nearest"):
        found = traces(
            tmp_path,
            model,
            batches,
            interpolation_strategy=strategy,
            interpolation_downsampling=3,
        )
        assert found == pytest.approx([expected], rel=1e-4)


def test_every_epoch_begins_anew_whatever_was_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Everything()
    batches = torch.stack([torch.randn(30, 1, 7, 7), 3 * torch.randn(30, 1, 7, 7)])
    expected = [
        reference.eigenvalues(
            model.convolutions[0](batch).detach().permute(0, 2, 3, 1).reshape(-1, 4).numpy()
        ).sum()
        for batch in batches
    ]
    for reset in (True, False):
        found = traces(tmp_path, model, batches, reset_covariance=reset)
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_to": "cvs"}, r"save_to must be one of .*Did you mean 'csv'"),
        ({"save_to": 3}, r"save_to must be of csv, .* got 3"),
        ({"save_to": NPYWriter}, "save_to must be of csv"),
        ({"stats": ["lsat", "embedded"]}, r"stats must be one of .*Did you mean 'embed'"),
        ({"stats": ["lsta"]}, r"stats must be one of .*Did you mean 'lsat'"),
        ({"conv_method": "channels"}, r"conv_method must be one of .*got 'channels'"),
        ({"timeseries_method": "last"}, r"timeseries_method must be one of .*last_timestep"),
        ({"sat_threshold": 99}, r"sat_threshold.* must be in \(0, 1\], got 99"),
        ({"log_interval": 0}, "log_interval must be a whole number >= 1, got 0"),
        ({"max_samples": -1}, "max_samples must be a whole number >= 1, got -1"),
        ({"initial_epoch": -1}, "initial_epoch must be >= 0, got -1"),
        ({"initial_epoch": 1.5}, "initial_epoch must be a whole number"),
        ({"interpolation_strategy": "cubic"}, r"interpolation_strategy must be one of"),
        ({"layer_filter": lambda layers: layers.clear()}, "layer_filter must return a dict"),
        ({"layer_filter": lambda layers: {}}, "modules must have a Conv2d, Linear or LSTM"),
        ({"layer_filter": lambda layers: {"a": nn.Linear(1, 1)}}, "'a', which lies in none"),
        ({"modules": lambda model: "model"}, r"modules must be a torch\.nn\.Module"),
        ({"modules": lambda model: []}, r"modules must be a torch\.nn\.Module"),
        ({"modules": lambda model: nn.ReLU()}, "modules must have a Conv2d, Linear or LSTM"),
    ],
)
def test_arguments_that_are_refused_leave_nothing_behind(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(fathom.ArgumentError, match=message):
        saturations(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="writers_args"):
        saturations(tmp_path, writers_args={})


@pytest.mark.parametrize("make", [delve.npy, lambda path: delve.writers.CompositWriter([])])
def test_a_writer_of_delves_that_pickles_is_refused(
    tmp_path: Path, make: Callable[[str], Any]
) -> None:
    writer = make(str(tmp_path / "other"))
    with pytest.raises(fathom.ArgumentError, match=r"Import .* from fathom\.delve\.writers"):
        saturations(tmp_path, save_to=writer)


def test_other_writers_of_delves_are_taken(tmp_path: Path) -> None:
    saturations(tmp_path, save_to=[delve.csv(str(tmp_path / "theirs")), "csv"])
    theirs, ours = (tmp_path / "theirs.csv").read_text(), (tmp_path / "x.csv").read_text()
    assert theirs == ours
    assert ours.startswith(";train-saturation_convolutions-0;")


def test_an_lstm_counts_the_last_step_of_every_sample(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Everything()
    images = torch.randn(30, 1, 7, 7)
    steps: list[Any] = []
    handle = model.lstm.register_forward_hook(lambda *call: steps.append(call[2][0].detach()))
    model(images)
    handle.remove()
    for method, rows in (("last_timestep", steps[0][-1]), ("timestepwise", steps[0].flatten(0, 1))):
        tracker = SaturationTracker(
            tmp_path / method, "csv", model, stats=["trc"], timeseries_method=method
        )
        model(images)
        tracker.add_saturations()
        tracker.close()
        head, row = (tmp_path / f"{method}.csv").read_text().splitlines()
        found = dict(zip(head.split(";"), row.split(";"), strict=True))
        expected = reference.eigenvalues(rows.numpy()).sum()
        assert float(found["train-covariance-trace_lstm"]) == pytest.approx(expected, rel=1e-4)


def test_every_second_call_counts(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    tracker = SaturationTracker(tmp_path / "x", "csv", model, log_interval=2)
    for _ in range(4):
        model(torch.randn(20, 3))
    tracker.add_saturations()
    tracker.close()
    with fathom.open_run(tmp_path / "x" / "fathom") as run:
        assert run.snapshot().train["0"].calls == 2


def test_closing_takes_the_hooks_off_and_a_tracked_model_pickles(tmp_path: Path) -> None:
    model = Everything()
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    tracker = SaturationTracker(tmp_path / "x", "csv", model)
    assert any(module._forward_hooks for module in model.modules())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
    pickle.loads(pickle.dumps(model))
    assert list(tracker.layers) == ["convolutions-0", "convolutions-2", "lstm", "head"]
    assert repr(tracker) == "SaturationTracker(4 layers, epoch 0)"
    tracker.close()
    tracker.close()
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(fathom.ClosedError):
        tracker.add_saturations()


def test_the_older_name_is_the_same_class(tmp_path: Path) -> None:
    tracker = CheckLayerSat(tmp_path / "x", "csv", nn.Linear(2, 2))
    assert isinstance(tracker, SaturationTracker)
    assert repr(tracker) == "CheckLayerSat(1 layers, epoch 0)"
    tracker.close()


STARTS = """
import sys, warnings, torch
from fathom.delve import SaturationTracker
if "error" in sys.argv:
    warnings.simplefilter("error")
for place in range(3):
    method = "timestepwise" if place == 2 else "last_timestep"
    SaturationTracker(
        f"{sys.argv[1]}/{place}", "csv", torch.nn.Linear(2, 2), timeseries_method=method
    ).close()
print("DONE")
"""


@pytest.mark.parametrize("mode", ["default", "error"])
def test_what_differs_is_said_once_and_never_raised(tmp_path: Path, mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTS, str(tmp_path), mode], capture_output=True, text=True
    )
    assert done.stdout == "DONE\n", done.stderr
    assert done.stderr.count("the smallest k that reaches sat_threshold") == 1
    assert done.stderr.count("all batches since the last add_saturations()") == 1
    assert done.stderr.count("Every time step is a row") == 1
    assert ("FathomWarning" in done.stderr) == (mode == "default")


def test_a_determinant_that_underflows_is_told(tmp_path: Path) -> None:
    layer = nn.Linear(200, 200)
    tracker = SaturationTracker(tmp_path / "x", "csv", nn.Sequential(layer), stats=["det"])
    with torch.no_grad():
        layer.weight.mul_(0.01)
    layer(torch.randn(3000, 200))
    with pytest.warns(fathom.FathomWarning, match="too small for a float and stands as 0"):
        tracker.add_saturations()
    tracker.close()
    with fathom.open_run(tmp_path / "x" / "fathom") as run:
        assert run.statistic("log_determinant", phase="train")[0, 0] < -745


def test_matrices_without_a_writer_for_them_are_told(tmp_path: Path) -> None:
    with pytest.warns(fathom.FathomWarning, match="add 'npy' to save_to"):
        SaturationTracker(tmp_path / "x", "csv", nn.Linear(2, 2), stats=["lsat", "cov"]).close()
    with nothing_told():
        SaturationTracker(tmp_path / "y", ["npy"], nn.Linear(2, 2), stats=["cov"]).close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"thresh": 0.9}, fathom.RunNotFoundError, "thresh must come with covariance matrices"),
        ({"thresh": 90}, fathom.ArgumentError, r"must be in \(0, 1\], got 90"),
        ({"stats": ["trc"]}, fathom.ArgumentError, r"stats must be one of lsat, idim, got 'trc'"),
        ({"npywriter_out_path": "nowhere"}, fathom.RunNotFoundError, "must hold files such as"),
    ],
)
def test_what_cannot_be_reconstructed_is_refused(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    saturations(tmp_path)
    with pytest.raises(error, match=message):
        reconstruct_csv_from_npy_data(**{"npywriter_out_path": tmp_path / "x", **options})


def test_a_table_is_made_of_what_there_is(tmp_path: Path) -> None:
    found = saturations(tmp_path)
    with pytest.warns(fathom.FathomWarning, match="holds no intrinsic-dimensionality"):
        table = reconstruct_csv_from_npy_data(tmp_path / "x", tmp_path / "table.csv")
    assert table.to_dict("list") == {
        f"_train-saturation_{name}": [value] for name, value in found.items()
    }
    assert (tmp_path / "table.csv").read_text().startswith(";_train-saturation_convolutions-0;")


@pytest.mark.parametrize(
    ("package", "extra", "does"),
    [
        ("matplotlib", "plots", lambda path: saturations(path, save_to="plot")),
        ("tensorboard", "tensorboard", lambda path: saturations(path, save_to=["csv", "tb"])),
        ("pandas", "pandas", lambda path: reconstruct_csv_from_npy_data(path)),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    extra: str,
    does: Callable[[Path], Any],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(fathom.MissingExtraError, match=rf"{package}.*extra '{extra}'"):
        does(tmp_path)
    assert not list(tmp_path.iterdir())


def test_importing_it_imports_no_optional_package() -> None:
    script = (
        "import sys, fathom.delve\n"
        "for name in ('delve', 'matplotlib', 'pandas', 'tensorboard'):\n"
        "    assert name not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
