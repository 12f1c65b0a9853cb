"""What the plots agree on: the usual phase, what runs are called, lines that are told apart."""

import io
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from matplotlib.figure import Figure

import fathom
from drawn import words, ys
from fathom.reading import Reading
from fathom.views.plots.canvas import figure_of
from made_runs import made_reading, made_run

NAME = "vgg16-cifar10-lr{}-wd0.0005-batch256-augment-seed0"


def run_of(folder: Path, *, steps: int = 1, dimension: int = 3) -> fathom.Run:
    made_run(
        folder,
        range(steps),
        lambda step: [
            made_reading("fc", dimension=dimension, phase=phase) for phase in ("train", "eval")
        ],
        metrics=lambda step: {"loss": float(dimension)},
    )
    return fathom.open_run(folder)


@pytest.mark.parametrize("last", ["train", "eval"])
def test_the_usual_phase_is_that_of_the_last_step(tmp_path: Path, last: str) -> None:
    def readings(step: int) -> list[Reading]:
        phases = ("train", "eval") if step < 2 else ("train",) if last == "train" else ("eval",)
        return [made_reading("fc", dimension=3, phase=phase) for phase in phases]  # type: ignore[arg-type]

    run = fathom.open_run(made_run(tmp_path / "run", range(3), readings))
    several = run.plot.layers(steps=[2, 0])
    for axes in (run.plot.layers(), several, run.plot.evolution(), run.plot.spectrum("fc")[0]):
        assert axes.get_title("left").count(f"· {last}") == 1


def test_runs_with_long_names_are_told_apart(tmp_path: Path) -> None:
    one, two = (run_of(tmp_path / NAME.format(rate), steps=2) for rate in (0.1, 0.2))
    for axes in (one.plot.layers(runs=[two]), one.plot.metrics(runs=[two])[0]):
        found = words(axes)
        assert len(set(found)) == len(found)
        assert any("lr0.1" in each for each in found)
        assert any("lr0.2" in each for each in found)


@pytest.mark.parametrize("again", ["the same object", "opened again"])
def test_a_run_that_is_given_twice_is_numbered(tmp_path: Path, again: str) -> None:
    run = run_of(tmp_path / "run")
    other = run if again == "the same object" else fathom.open_run(tmp_path / "run")
    labels = [each.split(" (average")[0] for each in words(run.plot.layers(runs=[other]))]
    assert labels[:2] == ["run", "run (2)"]
    assert words(run.plot.spectrum("fc", runs=[other])[1])[1].startswith("run (2): ")
    assert words(run.plot.metrics(runs=[other])[0])[2] == "run (2), eval"


def test_fourteen_runs_over_each_other_have_fourteen_lines(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / f"r{n}", steps=50, dimension=1 + n) for n in range(14)]
    for axes in runs[0].plot.metrics(runs=runs[1:]):
        looks = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
        assert len(set(looks)) == len(looks) >= 14


@pytest.mark.parametrize("statistic", ["determinant", "total_variance"])
def test_zeros_on_a_log_axis_are_said(tmp_path: Path, statistic: str) -> None:
    readings = [made_reading("fc", dimension=0), made_reading("head", dimension=0)]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for axes in (
            run.plot.layers(statistic=statistic),
            run.plot.evolution(statistic=statistic),
        ):
            figure_of(axes).savefig(io.BytesIO(), format="svg")
            assert any("above 0 was read in the eval" in each.get_text() for each in axes.texts)


def test_a_zero_beside_other_values_is_a_gap(tmp_path: Path) -> None:
    readings = [made_reading("fc", dimension=3), made_reading("head", dimension=0)]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    axes = run.plot.layers(statistic="total_variance")
    assert np.isnan(ys(axes.lines[0])).tolist() == [False, True]
    assert "gap: no value" in words(axes)


@pytest.mark.parametrize("layout", ["constrained", None])
def test_on_given_axes_the_legend_lies_beside_the_lines_where_there_is_room(
    tmp_path: Path, layout: Literal["constrained"] | None
) -> None:
    run = run_of(tmp_path / "run", steps=3)
    figure = Figure(figsize=(8, 4), layout=layout)
    axes = run.plot.layers(steps=[0, 1, 2], ax=figure.subplots())
    figure.savefig(io.BytesIO(), format="png")
    legend = axes.get_legend()
    assert legend is not None
    inside = legend.get_window_extent().x0 < axes.get_window_extent().x1 - 1
    assert inside == (layout is None)
    assert legend.get_window_extent().x1 <= figure.bbox.x1
