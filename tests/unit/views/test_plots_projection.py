"""The plot of a projection curve, and that of samples in two directions, read from their axes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

import fathom
from drawn import words, ys
from fathom.analysis.embedding import Embedding
from fathom.projections import KIND
from fathom.store.analyses import write_analysis
from fathom.views.look import DARK, LIGHT
from fathom.views.plots.projection import draw_curve
from made_runs import made_reading, made_run

THRESHOLDS = np.array([0.5, 0.9, 0.99])


def curve(count: int = 3, *, step: int | None = 2, scale: float = 1.0) -> fathom.ProjectionCurve:
    names = [f"features.{place}" for place in range(count)]
    return fathom.ProjectionCurve(
        thresholds=THRESHOLDS,
        all=np.array([0.2, 0.7, 0.9]) * scale,
        by_layer={
            name: np.array([0.9 - place / count / 2, 0.9, 0.9]) * scale
            for place, name in enumerate(names)
        },
        dimensions={name: np.array([1, 4, 9]) for name in names},
        widths=dict.fromkeys(names, 12),
        baseline=0.9 * scale,
        random=np.array([0.1, 0.1, 0.3]) * scale,
        phase="eval",
        step=step,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = made_run(tmp_path / "one", range(3), lambda step: [made_reading("a", dimension=3)])
    for step in (1, 2, None):
        found = curve(step=step)
        write_analysis(folder, KIND, found.name, found.to_body())
    return folder


def test_every_number_is_drawn_at_its_threshold(run: Path) -> None:
    with fathom.open_run(run) as opened:
        axes = opened.plot.projection(step=2)
        expected = curve()
        drawn = [ys(line).tolist() for line in axes.lines]
        assert expected.all.tolist() in drawn
        assert expected.random is not None
        assert expected.random.tolist() in drawn
        assert [0.9, 0.9] in drawn
        for values in expected.by_layer.values():
            assert values.tolist() in drawn
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "0.9", "0.99"]
        assert words(axes) == [
            "not projected: 0.900",
            "all layers at once",
            "all, random directions",
            *(f"{place} alone" for place in range(3)),
        ]
        assert axes.get_title(loc="left") == "one · step 2 · eval"
        # A curve of no step is no later than those of steps.
        assert opened.plot.projection().get_title(loc="left") == "one · step 2 · eval"
        with pytest.raises(fathom.RunNotFoundError, match=r"of step 7, .*now, 1, 2"):
            opened.plot.projection(step=7)


def test_the_line_of_all_is_the_thickest_and_random_is_dashed() -> None:
    axes = draw_curve(curve())
    found = {tuple(ys(line)): line for line in axes.lines}
    together = found[tuple(curve().all)]
    control = found[tuple(curve().random)]  # type: ignore[arg-type]
    assert together.get_linewidth() == max(line.get_linewidth() for line in axes.lines)
    assert (together.get_linestyle(), control.get_linestyle()) == ("-", "--")


def test_of_many_layers_those_that_lose_most_have_colours() -> None:
    axes = draw_curve(curve(20), theme="dark")
    coloured = [name for name in words(axes) if name.endswith("alone")]
    assert coloured == [f"{place} alone" for place in range(13, 20)]
    assert words(axes)[-1] == "13 more, which lose less"
    colours = {line.get_color() for line in axes.lines if line.get_marker() != "None"}
    assert set(DARK.series) <= colours


def test_scores_beyond_1_have_a_scale_of_their_own() -> None:
    assert draw_curve(curve(scale=100)).get_ylim()[1] > 90
    assert draw_curve(curve()).get_ylim() == pytest.approx((-0.02, 1.02))


def test_a_run_without_a_curve_says_how_to_record_one(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "one", range(1), lambda step: [made_reading("a", dimension=3)])
    with (
        fathom.open_run(folder) as run,
        pytest.raises(fathom.RunNotFoundError, match=r"none.*projection_curve\("),
    ):
        run.plot.projection()


def embedding(classes: int) -> Embedding:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(60 * classes, 2))
    return Embedding(
        {"first": points, "features.$1": points + 1},
        {"first": (0.5, 0.25), "features.$1": (0.4, 0.1)},
        np.repeat(np.arange(classes), 60),
    )


def scatters(axes: Axes) -> list[Any]:
    return [each for each in axes.collections if isinstance(each, PathCollection)]


def test_each_class_has_its_points_its_colour_and_its_name() -> None:
    found = embedding(10)
    axes = found.plot("features.$1")
    drawn = scatters(axes)
    for place, dots in enumerate(drawn):
        points = found.coordinates["features.$1"][60 * place : 60 * place + 60]
        np.testing.assert_allclose(np.asarray(dots.get_offsets()), points)
    # Ten classes on seven colours: no two have both colour and marker in common.
    looks = {
        (to_hex(dots.get_facecolor()[0]), dots.get_paths()[0].vertices.tobytes()) for dots in drawn
    }
    assert len(drawn) == len(looks) == 10
    assert words(axes) == [str(place) for place in range(10)]
    assert [text.get_text() for text in axes.texts] == [str(place) for place in range(10)]
    assert axes.get_xlabel() == "first eigendirection (40.0% of the variance)"
    assert axes.get_ylabel() == "second eigendirection (10.0% of the variance)"
    assert axes.get_title(loc="left") == r"features.\$1 · 600 samples"


def test_samples_without_labels_have_one_colour() -> None:
    points = np.zeros((5, 2))
    axes = Embedding({"": points}, {"": (1.0, 0.0)}).plot()
    (dots,) = scatters(axes)
    assert to_hex(dots.get_facecolor()[0]) == LIGHT.series[0]
    assert axes.get_legend() is None
    assert axes.get_title(loc="left") == "(model) · 5 samples"


def test_many_classes_are_named_in_place() -> None:
    axes = embedding(49).plot()
    assert axes.get_legend() is None
    assert len(axes.texts) == 49
    looks = {
        (to_hex(dots.get_facecolor()[0]), dots.get_paths()[0].vertices.tobytes())
        for dots in scatters(axes)
    }
    assert len(looks) == 49


def test_a_layer_that_was_not_embedded_is_refused() -> None:
    with pytest.raises(fathom.ArgumentError, match=r"got 'second'.*first"):
        embedding(2).plot("second")
