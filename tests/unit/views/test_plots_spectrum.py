"""The eigenvalues of a layer, and how many of them reach the threshold."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fathom
from drawn import words, xs, ys
from fathom.views.plots.canvas import figure_of
from made_runs import made_reading, made_run, sketched_reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "trained"
    model = nn.Sequential(nn.Linear(6, 30), nn.ReLU(), nn.Linear(30, 4))
    with fathom.watch(model, folder, budget=None) as monitor:
        for step in range(3):
            for training in (True, False):
                model.train(training)(torch.randn(900, 6))
            monitor.snapshot(step=step)
    return folder


@pytest.mark.parametrize("phase", ["train", "eval"])
@pytest.mark.parametrize("threshold", [None, 0.7])
def test_it_shows_the_eigenvalues_and_where_they_reach_the_threshold(
    folder: Path, phase: str, threshold: float | None
) -> None:
    with fathom.open_run(folder) as run:
        values, shares = run.plot.spectrum("0", phase=phase, threshold=threshold)
        spectrum = run.spectrum("0", phase=phase)
    expected = spectrum.eigenvalues.numpy()
    level = threshold or 0.99
    np.testing.assert_array_equal(ys(values.lines[0]), expected)
    np.testing.assert_array_equal(xs(values.lines[0]), np.arange(1, 31))
    assert values.get_yscale() == values.get_xscale() == shares.get_xscale() == "log"
    assert shares.get_yscale() == "linear"
    line, curve, mark = shares.lines
    assert set(ys(line)) == {level}
    np.testing.assert_allclose(ys(curve), expected.cumsum() / expected.sum(), rtol=1e-12)
    dimension = fathom.intrinsic_dimension(expected, threshold=level)
    assert xs(mark) == [dimension]
    assert ys(mark)[0] >= level * (1 - 1e-6)
    assert words(shares) == [f"{dimension} of 30 reach {level:g}"]
    assert "squared activation units" in values.get_ylabel()
    assert "share" in shares.get_ylabel()
    assert f"0 · step 2 · {phase}" in values.get_title("left")


def test_zeros_that_a_log_axis_cannot_show_are_counted(tmp_path: Path) -> None:
    readings = [made_reading("a", dimension=4)]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    values, _ = run.plot.spectrum("a")
    assert words(values) == ["16 of 20 are 0"]
    figure_of(values).savefig(io.BytesIO(), format="png")


def test_several_steps_lie_over_each_other(folder: Path) -> None:
    with fathom.open_run(folder) as run:
        values, shares = run.plot.spectrum("2", step=[0, 2], phase="train")
        for place, step in enumerate((0, 2)):
            expected = run.spectrum("2", step=step, phase="train").eigenvalues.numpy()
            np.testing.assert_array_equal(ys(values.lines[place]), expected)
    assert words(values) == ["step 0", "step 2"]
    assert [text.split(":")[0] for text in words(shares)] == ["step 0", "step 2"]
    assert len({line.get_color() for line in values.lines}) == 2


def test_of_a_sketch_there_is_what_it_captured(tmp_path: Path) -> None:
    reading = sketched_reading("wide")
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: [reading]))
    values, shares = run.plot.spectrum("wide")
    assert len(xs(values.lines[0])) == 512
    assert words(values) == ["the 512 largest of 8192, from a sketch"]
    _, curve = shares.lines
    assert ys(curve)[-1] == pytest.approx(reading.captured) == pytest.approx(0.5)
    assert words(shares) == [f"more than {reading.at_least - 1} of 8192 reach 0.99; 50.0% captured"]
    assert shares.get_xlim()[1] > 8192


def test_a_provisional_dimension_is_hollow_and_said(tmp_path: Path) -> None:
    readings = [made_reading("a", dimension=4, rows=50)]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    _, shares = run.plot.spectrum("a")
    assert shares.lines[-1].get_markerfacecolor() != shares.lines[-1].get_color()
    assert words(shares) == ["4 of 20 reach 0.99 (provisional)"]


@pytest.mark.parametrize(
    ("layer", "phase", "words"),
    [
        ("none", "eval", "No variance was read in the eval phase"),
        ("flat", "eval", "No variance was read in the eval phase"),
        ("flat", "train", "This layer was not observed in the train phase"),
    ],
)
def test_without_variance_it_says_so(tmp_path: Path, layer: str, phase: str, words: str) -> None:
    readings = [made_reading("none", dimension=0, rows=0), made_reading("flat", dimension=0)]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    values, _ = run.plot.spectrum(layer, phase=phase)
    assert values.texts[0].get_text() == words
    figure_of(values).savefig(io.BytesIO(), format="png")


def test_a_width_of_one_is_drawn(tmp_path: Path) -> None:
    readings = [made_reading("", dimension=1, width=1)]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    for name in ("", "(model)"):
        values, shares = run.plot.spectrum(name)
        assert list(ys(values.lines[0])) == [2]
        assert words(shares) == ["1 of 1 reach 0.99"]
        figure_of(values).savefig(io.BytesIO(), format="svg")


def test_a_wrong_layer_is_answered_with_those_near_it(tmp_path: Path) -> None:
    names = [f"features.{number}" for number in range(300)] + ["classifier"]
    readings = [made_reading(name, dimension=2) for name in names]
    run = fathom.open_run(made_run(tmp_path / "run", [0], lambda step: readings))
    with pytest.raises(fathom.ArgumentError) as refused:
        run.plot.spectrum("clasifier")
    assert "layer must be one of the 301 of" in str(refused.value)
    assert "got 'clasifier'. There are: classifier." in str(refused.value)
    with pytest.raises(fathom.RunNotFoundError, match=r"There are: classifier\.") as named:
        run.spectrum("clasifier")
    assert len(str(named.value)) < 300
    with pytest.raises(fathom.ArgumentError, match="feature") as refused:
        run.plot.spectrum("feature.17")
    assert "features.17" in str(refused.value)
    assert len(str(refused.value)) < 300
