"""The average saturation over the user's metrics: a panel each, over the same steps."""

import io
import math
from pathlib import Path

import numpy as np
import pytest

import fathom
from drawn import words, xs, ys
from fathom.views.plots.canvas import figure_of
from made_runs import made_reading, made_run


def run_of(folder: Path, metrics: list[dict[str, float]], *, phases: str = "both") -> fathom.Run:
    made_run(
        folder,
        range(len(metrics)),
        lambda step: [
            made_reading(name, dimension=1 + step, phase=phase)
            for phase in ("train", "eval")
            if phases in {"both", phase}
            for name in "abc"
        ],
        metrics=lambda step: metrics[step],
        output_layer="c",
    )
    return fathom.open_run(folder)


def test_panels_hold_the_averages_and_the_metrics(tmp_path: Path) -> None:
    given = [{"loss": 2.0, "accuracy": 0.1}, {"loss": 1.0}, {"loss": 0.5, "accuracy": 0.8}]
    with run_of(tmp_path / "run", given) as run:
        average, loss, accuracy = run.plot.metrics()
        for place, phase in enumerate(("eval", "train")):
            expected = [run.snapshot(step).average_saturation(phase) for step in range(3)]
            assert ys(average.lines[place]).tolist() == pytest.approx(expected, rel=1e-12)
        assert words(average) == ["eval", "train"]
        np.testing.assert_array_equal(ys(loss.lines[0]), run.metrics["loss"])
        np.testing.assert_array_equal(ys(accuracy.lines[0]), run.metrics["accuracy"])
    labels = [axes.get_ylabel() for axes in (average, loss, accuracy)]
    assert labels == ["average saturation", "loss", "accuracy"]
    assert accuracy.get_xlabel() == "step"
    assert accuracy.get_xticks().tolist() == [0, 1, 2]
    assert average.get_xlim() == accuracy.get_xlim()
    styles = {line.get_linestyle() for line in average.lines}
    assert len(styles) == 2


def test_an_unobserved_phase_has_no_line(tmp_path: Path) -> None:
    with run_of(tmp_path / "run", [{}, {}], phases="train") as run:
        (average,) = run.plot.metrics()
    assert len(average.lines) == 1
    assert average.get_xlabel() == "step"


def test_what_is_not_finite_is_marked_and_what_was_not_given_is_not(tmp_path: Path) -> None:
    given = [{"loss": 1.0}, {"loss": math.nan}, {"loss": math.inf}, {}, {"loss": 1e308}]
    with run_of(tmp_path / "run", given) as run:
        _, loss = run.plot.metrics()
    line, marks = loss.lines
    np.testing.assert_array_equal(ys(line), [1.0, *[math.nan] * 4])
    assert xs(marks) == [1, 2, 4]
    assert words(loss) == ["nan or infinite"]
    figure_of(loss).savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize(
    ("values", "scale"),
    [([2.0, 0.001], "log"), ([2.0, 0.01], "linear"), ([2.0, -0.001], "linear")],
)
def test_orders_of_magnitude_get_a_log_axis(
    tmp_path: Path, values: list[float], scale: str
) -> None:
    with run_of(tmp_path / "run", [{"loss": value} for value in values]) as run:
        assert run.plot.metrics()[1].get_yscale() == scale


def test_of_many_metrics_the_first_are_shown_or_those_that_are_named(tmp_path: Path) -> None:
    names = [f"metric {number:02}" for number in range(20)]
    with run_of(tmp_path / "run", [dict.fromkeys(names, 1.0)] * 2) as run:
        panels = run.plot.metrics()
        assert [axes.get_ylabel() for axes in panels[1:]] == names[:8]
        assert "8 of 20 metrics" in panels[0].get_title("left")
        named = run.plot.metrics(names=["metric 19", "metric 03"])
        assert [axes.get_ylabel() for axes in named[1:]] == ["metric 19", "metric 03"]
        with pytest.raises(fathom.ArgumentError, match=r"names must be one of .* got 'metric'"):
            run.plot.metrics(names=["metric"])


def test_runs_lie_over_each_other(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", [{"loss": 1.0}, {"loss": 0.5}])
    two = run_of(tmp_path / "two", [{"loss": 3.0}, {"loss": 2.0}, {"accuracy": 1.0}])
    average, loss, accuracy = one.plot.metrics(runs=[two])
    assert words(average) == ["one, eval", "one, train", "two, eval", "two, train"]
    np.testing.assert_array_equal(ys(loss.lines[1]), [3, 2, math.nan])
    assert np.isnan(ys(accuracy.lines[0])).all()
    assert len({line.get_color() for line in loss.lines}) == 2
    with pytest.raises(fathom.ArgumentError, match="runs must be 1 to 14, got 15"):
        one.plot.metrics(runs=[two] * 14)
