"""Probes over saturation: the papers' figure."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

import fathom
from drawn import words, ys
from fathom.probes import KIND, Probe, Probes
from fathom.store.analyses import write_analysis
from made_runs import made_reading, made_run

NAMES = ("features.0", "features.3", "features.7", "head")


def stored(folder: Path, step: int, *, own: float = 0.9) -> Probes:
    probes = Probes(
        tuple(
            Probe(name, 0.9 + step / 1000 + n / 200, 0.6 + n / 10, 100, 50, 16, True)
            for n, name in enumerate(NAMES)
            if n != 1
        ),
        own,
        step,
    )
    write_analysis(folder, KIND, probes.name, probes.to_body())
    return probes


@pytest.fixture
def run(tmp_path: Path) -> fathom.Run:
    folder = made_run(
        tmp_path / "run",
        range(3),
        lambda step: [made_reading(name, dimension=3 + n) for n, name in enumerate(NAMES)],
    )
    return fathom.open_run(folder)


def line(axes: Axes, words: str) -> Line2D:
    legend = axes.get_legend()
    assert legend is not None
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        if text.get_text().startswith(words):
            assert isinstance(handle, Line2D)
            return handle
    raise AssertionError(words)


def drawn_as(axes: Axes, handle: Line2D) -> list[Line2D]:
    return [
        each
        for each in axes.lines
        if (each.get_color(), each.get_linestyle()) == (handle.get_color(), handle.get_linestyle())
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accuracies_are_drawn_over_saturation(run: fathom.Run, theme: str) -> None:
    probes = stored(run.path, 2)
    axes = run.plot.layers(probes=True, theme=theme)
    assert axes.figure.axes == [axes]
    assert axes.get_ylim() == (-0.02, 1.02)
    assert axes.get_ylabel().endswith("and accuracy (share of the samples)")
    for part, dashes in (("eval", "-"), ("train", "--")):
        handle = line(axes, f"probe, {part} accuracy")
        assert handle.get_linestyle() == dashes
        (found,) = drawn_as(axes, handle)
        values = [getattr(each, f"{part}_accuracy") for each in probes]
        np.testing.assert_array_equal(ys(found), [values[0], np.nan, *values[1:]])
    own = line(axes, "the model itself 0.900")
    (found,) = drawn_as(axes, own)
    assert set(ys(found)) == {0.9}
    # Saturation is there as without them, and nothing of it looks like them.
    alone = run.plot.layers(theme=theme)
    colours = {each.get_color() for each in alone.lines}
    assert [ys(each).tolist() for each in axes.lines if each.get_color() in colours] == [
        ys(each).tolist() for each in alone.lines
    ]
    assert len({line(axes, each).get_color() for each in ("probe, eval", "the model")}) == 2


def test_unasked_it_is_the_last_step_that_has_probes(run: fathom.Run) -> None:
    stored(run.path, 1)
    stored(run.path, 0)
    stored(run.path, 77)
    axes = run.plot.layers(probes=True)
    assert "step 1" in axes.get_title("left")
    (found,) = drawn_as(axes, line(axes, "probe, train"))
    assert ys(found)[0] == pytest.approx(0.901)
    assert "step 0" in run.plot.layers(probes=True, steps=[0]).get_title("left")
    with pytest.raises(fathom.RunNotFoundError, match="without probes of step 2"):
        run.plot.layers(probes=True, steps=2)
    with pytest.raises(fathom.RunNotFoundError, match="step must be recorded, got probes of ste"):
        run.plot.layers(probes=True, steps=77)


def test_beside_directions_accuracy_has_an_axis_of_its_own(run: fathom.Run) -> None:
    probes = stored(run.path, 2, own=float("nan"))
    axes = run.plot.layers(probes=True, statistic="intrinsic_dimension", theme="dark")
    left, right = axes.figure.axes
    assert left is axes
    assert right.get_ylim() == (-0.02, 1.02)
    assert right.get_ylabel() == "accuracy (share of the samples)"
    (found,) = drawn_as(right, line(axes, "probe, eval"))
    assert ys(found)[0] == probes[0].eval_accuracy
    assert not [each for each in words(axes) if each.startswith("the model")]


def test_without_probes_it_says_how_to_get_them(run: fathom.Run) -> None:
    with pytest.raises(fathom.RunNotFoundError, match="without probes of any step"):
        run.plot.layers(probes=True)


def test_they_are_of_one_run_at_one_step(run: fathom.Run) -> None:
    stored(run.path, 2)
    with pytest.raises(fathom.ArgumentError, match="got 2 runs and 1 steps"):
        run.plot.layers(probes=True, runs=[run])
    with pytest.raises(fathom.ArgumentError, match="got 1 runs and 2 steps"):
        run.plot.layers(probes=True, steps=[1, 2])
