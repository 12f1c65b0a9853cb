"""Saturation by layer: the values, the marks, the average, and names that have room."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from torch import nn

import fathom
from drawn import words, xs, ys
from fathom.reading import Reading
from fathom.views.plots.canvas import figure_of
from fathom.views.plots.quantities import QUANTITIES
from made_runs import made_reading, made_run, sketched_reading

LONG = [
    f"model.transformer_encoder.layers.{number}.{part}"
    for number in range(10)
    for part in (
        "self_attention.query_projection",
        "self_attention.key_projection",
        "self_attention.value_projection",
        "self_attention.output_projection",
        "feed_forward.intermediate.dense_projection",
        "feed_forward.output.dense_projection",
    )
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "trained"
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5), nn.Linear(5, 3))
    with fathom.watch(model, folder, budget=None) as monitor:
        for step in range(4):
            for training in (True, False):
                model.train(training)(torch.randn(300, 6))
            monitor.snapshot(step=step, loss=1 / (1 + step))
    return folder


def run_of(folder: Path, *readings: Reading, **options: object) -> fathom.Run:
    return fathom.open_run(made_run(folder, [0], lambda step: readings, **options))  # type: ignore[arg-type]


def values_of(axes: Axes, place: int = 0) -> NDArray[np.float64]:
    """The values of the line at this place among those through all layers."""
    full = [line for line in axes.lines if line.get_linestyle() in {"-", "--"}]
    return ys(full[place])


@pytest.mark.parametrize("statistic", [name for name in fathom.STATISTICS if name != "rankme"])
@pytest.mark.parametrize("phase", ["train", "eval"])
def test_the_line_is_the_statistic_of_the_run(trained: Path, statistic: str, phase: str) -> None:
    with fathom.open_run(trained) as run:
        axes = run.plot.layers(statistic=statistic, phase=phase)
        expected = run.statistic(statistic, phase=phase)[-1]
    np.testing.assert_array_equal(
        values_of(axes), np.where(QUANTITIES[statistic].shows(expected), expected, np.nan)
    )
    assert axes.get_ylabel() == QUANTITIES[statistic].label
    assert phase in axes.get_title("left")


def test_every_statistic_has_a_label_with_a_unit() -> None:
    assert set(QUANTITIES) == set(fathom.STATISTICS)


def test_steps_are_laid_over_each_other_at_another_threshold(trained: Path) -> None:
    with fathom.open_run(trained) as run:
        axes = run.plot.layers(steps=[0, 2, 3], threshold=0.9, phase="train")
        expected = run.statistic("saturation", phase="train", threshold=0.9)
        for place, step in enumerate((0, 2, 3)):
            np.testing.assert_array_equal(values_of(axes, place), expected[step])
            average = run.snapshot(step, threshold=0.9).average_saturation("train")
            assert f"step {step} (average {average:.3f})" in words(axes)
            assert average in [ys(line)[0] for line in axes.lines]
    assert "threshold 0.9" in axes.get_title("left")


def test_series_differ_in_more_than_colour(trained: Path) -> None:
    with fathom.open_run(trained) as run:
        axes = run.plot.layers(steps=range(4), runs=[run, run])
        legend = axes.get_legend()
        assert legend is not None
        handles: list[Any] = legend.legend_handles
        looks = {
            (line.get_color(), line.get_marker(), line.get_linestyle()) for line in handles[:12]
        }
        assert len(looks) == 12
        assert len({(marker, dashes) for _, marker, dashes in looks}) == 12
        with pytest.raises(fathom.ArgumentError, match="runs times steps must be 1 to 14, got 16"):
            run.plot.layers(steps=range(4), runs=[run, run, run])


def test_unasked_it_is_the_phase_that_was_observed(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", made_reading("a", dimension=4, phase="train"))
    assert values_of(run.plot.layers()).tolist() == [0.2]
    axes = run.plot.layers(phase="eval")
    assert np.isnan(values_of(axes)).all()
    assert axes.texts[0].get_text() == "No layer was observed in the eval phase"


def test_marks_tell_how_far_to_trust_a_reading(tmp_path: Path) -> None:
    axes = run_of(
        tmp_path / "run",
        made_reading("settled", dimension=4),
        made_reading("few", dimension=6, rows=100),
        made_reading("coarse", dimension=8, rounding=0.5),
        sketched_reading("wide"),
        made_reading("out", dimension=10),
        output_layer="out",
        unobserved=["never", "nor this"],
    ).plot.layers()
    background = axes.get_facecolor()
    marks = {tuple(xs(line)): line for line in axes.lines if line.get_linestyle() == "None"}
    assert marks[0, 4].get_markerfacecolor() == marks[0, 4].get_color()
    assert to_rgba(marks[1,].get_markerfacecolor()) == background
    assert marks[2,].get_marker() == "x"
    assert ys(marks[3,])[0] == pytest.approx(sketched_reading("wide").at_least / 8192)
    assert np.isnan(values_of(axes)[3])
    assert words(axes) == [
        "average 0.300",
        "output layer, not in the average",
        "provisional: too low",
        "coarse: too high",
        "at least (sketched)",
        "2 more never observed",
    ]
    (shade,) = axes.patches
    assert isinstance(shade, Rectangle)
    assert (shade.get_x(), shade.get_width()) == (3.5, 1.0)


def test_a_layer_without_a_reading_is_a_gap(tmp_path: Path) -> None:
    made_run(
        tmp_path / "run",
        [0, 1],
        lambda step: [made_reading(name, dimension=4) for name in ("abc", "ac")[step]],
    )
    axes = fathom.open_run(tmp_path / "run").plot.layers(steps=[0, 1])
    np.testing.assert_array_equal(values_of(axes, 0), [0.2, 0.2, 0.2])
    np.testing.assert_array_equal(values_of(axes, 1), [0.2, np.nan, 0.2])
    assert words(axes)[-1] == "gap: no value"


def test_layers_of_other_runs_stand_behind_what_precedes_them(tmp_path: Path) -> None:
    def run(name: str, layers: str) -> fathom.Run:
        return run_of(tmp_path / name, *(made_reading(each, dimension=4) for each in layers))

    axes = run("one", "abd").plot.layers(runs=[run("two", "acd"), run("three", "xy")])
    assert [label.get_text() for label in axes.get_xticklabels()] == list("acbdxy")
    np.testing.assert_array_equal(values_of(axes, 1), [0.2, 0.2, *[np.nan, 0.2, np.nan, np.nan]])
    assert [text.split(",")[0] for text in words(axes)[:3]] == [
        "one (average 0.200)",
        "two (average 0.200)",
        "three (average 0.200)",
    ]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / name / "seed0", made_reading("a", dimension=4)) for name in ("x", "y")
    ]
    axes = runs[0].plot.layers(runs=runs[1:])
    assert [text.split()[0] for text in words(axes)[:2]] == ["x/seed0", "y/seed0"]


def boxes(axes: Axes, axis: str = "x") -> list[tuple[str, Bbox]]:
    figure_of(axes).draw_without_rendering()
    labels = axes.get_xticklabels() if axis == "x" else axes.get_yticklabels()
    return [(label.get_text(), label.get_window_extent()) for label in labels if label.get_text()]


@pytest.mark.parametrize("width", [4, 7, 11, None])
@pytest.mark.parametrize("count", [3, 8, 20, 60])
def test_long_names_never_overlap_and_stay_told_apart(
    tmp_path: Path, width: float | None, count: int
) -> None:
    readings = [made_reading(name, dimension=1 + place % 19) for place, name in enumerate(LONG)]
    run = run_of(tmp_path / "run", *readings[:count])
    ax = None if width is None else Figure(figsize=(width, 4), layout="constrained").add_subplot()
    axes = run.plot.layers(ax=ax)
    drawn = boxes(axes)
    assert len({name for name, _ in drawn}) == len(drawn)
    if width is None:
        assert len(drawn) == count
    slanted = {round(label.get_rotation()) for label in axes.get_xticklabels()}
    assert slanted <= {0, 40, 90}
    if slanted != {40.0}:  # the boxes of slanted text cross where the text does not
        for (_, one), (_, other) in pairwise(drawn):
            assert not one.overlaps(other)
    places = axes.xaxis.get_majorticklocs()
    gap = np.diff(axes.transData.transform([(place, 0) for place in places])[:, 0]).min()
    size = float(axes.get_xticklabels()[0].get_fontsize())
    assert gap * 72 / figure_of(axes).dpi >= (size if slanted == {90} else 1.5 * size)


def test_five_hundred_layers_at_three_steps(tmp_path: Path) -> None:
    names = [f"backbone.stage{place // 50}.block{place}.conv" for place in range(500)]
    made_run(
        tmp_path / "run",
        range(3),
        lambda step: [made_reading(name, dimension=1 + step) for name in names],
    )
    axes = fathom.open_run(tmp_path / "run").plot.layers(steps=range(3))
    assert len(values_of(axes)) == 500
    drawn = boxes(axes)
    assert 40 < len(drawn) < 500
    assert not any(one.overlaps(other) for (_, one), (_, other) in pairwise(drawn))
    axes.set_xlim(100, 130)
    near = {name for name, _ in boxes(axes)}
    assert {f"stage2.block{place}.conv" for place in range(101, 130)} <= near


def test_a_layer_without_a_name_is_the_model(tmp_path: Path) -> None:
    axes = run_of(tmp_path / "run", made_reading("", dimension=4)).plot.layers()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["(model)"]


def test_where_nothing_is_finite_it_says_so(tmp_path: Path) -> None:
    axes = run_of(tmp_path / "run", made_reading("a", dimension=4)).plot.layers(
        statistic="condition_number"
    )
    said = axes.texts[0].get_text()
    assert said == "No finite condition number above 0 was read in the eval phase"
    figure_of(axes).savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "rank"}, "statistic must be one of .* got 'rank'"),
        ({"phase": "test"}, "phase must be one of train, eval, got 'test'"),
        ({"threshold": 1.5}, "threshold must be in .* got 1.5"),
        ({"steps": [0.5]}, "steps must be a whole number .* got 0.5"),
        ({"steps": []}, "must be 1 to 14, got 0"),
    ],
)
def test_a_wrong_argument_is_refused(
    trained: Path, options: dict[str, object], message: str
) -> None:
    with fathom.open_run(trained) as run, pytest.raises(fathom.ArgumentError, match=message):
        run.plot.layers(**options)  # type: ignore[arg-type]


def test_a_step_that_is_not_there_is_refused(trained: Path) -> None:
    with (
        fathom.open_run(trained) as run,
        pytest.raises(fathom.RunNotFoundError, match=r"got 9\. It has 4, from 0 to 3"),
    ):
        run.plot.layers(steps=9)
    with fathom.open_run(trained) as run, pytest.raises(fathom.RunNotFoundError, match="got 9"):
        run.statistic("saturation", steps=[1, 9])
