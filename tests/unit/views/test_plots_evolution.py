"""The map of layers by steps: its cells, its edges, its colour bar, and what is marked on it."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

import fathom
from drawn import words
from fathom.views.look import COLORMAP
from fathom.views.plots.canvas import figure_of
from fathom.views.plots.quantities import QUANTITIES
from made_runs import made_reading, made_run, sketched_reading


@pytest.fixture
def run(tmp_path: Path) -> fathom.Run:
    made_run(
        tmp_path / "run",
        [0, 1, 5],
        lambda step: [
            made_reading(name, dimension=1 + place + step, phase=phase)
            for phase in ("train", "eval")
            for place, name in enumerate("abcd")
        ],
    )
    return fathom.open_run(tmp_path / "run")


def map_of(axes: Axes) -> QuadMesh:
    (mesh,) = (each for each in axes.collections if isinstance(each, QuadMesh))
    return mesh


def cells(axes: Axes) -> NDArray[np.float64]:
    """(steps, layers), nan where there is none."""
    values: Any = map_of(axes).get_array()
    return np.asarray(np.ma.filled(values, np.nan), dtype=float).T


def bar_of(axes: Axes) -> Axes:
    bar = map_of(axes).colorbar
    assert bar is not None
    return bar.ax


@pytest.mark.parametrize("statistic", ["saturation", "intrinsic_dimension", "effective_rank"])
@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize("phase", ["train", "eval"])
def test_the_cells_are_the_statistic_of_the_run(
    run: fathom.Run, statistic: str, threshold: float | None, phase: str
) -> None:
    axes = run.plot.evolution(statistic=statistic, threshold=threshold, phase=phase)
    expected = run.statistic(statistic, threshold=threshold, phase=phase)
    np.testing.assert_array_equal(cells(axes), expected)
    assert bar_of(axes).get_ylabel() == QUANTITIES[statistic].label
    assert map_of(axes).get_cmap().name == COLORMAP
    assert phase in axes.get_title("left")


def test_layers_stand_in_execution_order_from_top_to_bottom(run: fathom.Run) -> None:
    axes = run.plot.evolution()
    figure_of(axes).draw_without_rendering()
    labels = [(label.get_window_extent().y0, label.get_text()) for label in axes.get_yticklabels()]
    assert [name for _, name in sorted(labels, reverse=True)] == list("abcd")


def test_columns_stand_at_their_steps(run: fathom.Run) -> None:
    axes = run.plot.evolution()
    corners: Any = map_of(axes).get_coordinates()
    assert corners[0, :, 0].tolist() == [-0.5, 0.5, 3.0, 7.0]
    assert axes.get_xticks().tolist() == [0, 1, 5]
    assert axes.get_xlabel() == "step"


def test_a_share_has_the_whole_scale_and_a_wide_span_a_log_scale(run: fathom.Run) -> None:
    assert map_of(run.plot.evolution()).get_clim() == (0, 1)
    variance = run.plot.evolution(statistic="total_variance")
    assert isinstance(map_of(variance).norm, LogNorm)


def test_marks_cover_exactly_the_cells_they_are_of(tmp_path: Path) -> None:
    def readings(step: int) -> list[fathom.Reading]:
        return [
            made_reading("a", dimension=4, rows=100 if step < 2 else 1000),
            *([made_reading("b", dimension=4)] if step != 1 else []),
            sketched_reading("c"),
            made_reading("d", dimension=4, rounding=0.5 if step == 2 else 0),
        ]

    run = fathom.open_run(made_run(tmp_path / "run", range(3), readings))
    axes = run.plot.evolution()
    assert words(axes) == [
        "provisional: too low",
        "coarse: too high",
        "at least (sketched)",
        "no value",
    ]
    marks = [each for each in axes.collections if isinstance(each, PolyCollection)]
    assert len({each.get_hatch() for each in marks}) == 4
    covered = [
        [[float(end) for end in path.get_extents().extents] for path in each.get_paths()]
        for each in marks
    ]
    assert covered == [
        [[-0.5, -0.5, 1.5, 0.5]],
        [[1.5, 2.5, 2.5, 3.5]],
        [[-0.5, 1.5, 2.5, 2.5]],
        [[0.5, 0.5, 1.5, 1.5]],
    ]
    bound = sketched_reading("c").at_least / 8192
    np.testing.assert_allclose(cells(axes)[:, 2], bound, rtol=1e-6)
    assert np.isnan(cells(axes)[1, 1])


def test_nothing_is_marked_where_all_is_well(run: fathom.Run) -> None:
    axes = run.plot.evolution()
    assert axes.get_legend() is None
    assert not [each for each in axes.collections if isinstance(each, PolyCollection)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"phase": "train"}, "No layer was observed in the train phase"),
        (
            {"statistic": "condition_number"},
            "No finite condition number above 0 was read in the eval phase",
        ),
    ],
)
def test_an_empty_map_says_why(tmp_path: Path, options: dict[str, str], words: str) -> None:
    made_run(tmp_path / "run", [0], lambda step: [made_reading("a", dimension=4)])
    axes = fathom.open_run(tmp_path / "run").plot.evolution(**options)  # type: ignore[arg-type]
    assert axes.texts[0].get_text() == words
    figure_of(axes).savefig(io.BytesIO(), format="png")


def test_five_hundred_layers_and_many_steps_are_thinned(tmp_path: Path) -> None:
    names = [f"encoder.blocks.{place}.mlp.down_projection" for place in range(500)]
    made_run(
        tmp_path / "run", [0, 9], lambda step: [made_reading(name, dimension=4) for name in names]
    )
    axes = fathom.open_run(tmp_path / "run").plot.evolution()
    assert cells(axes).shape == (2, 500)
    figure_of(axes).draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert 40 < len(boxes) < 200
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    made_run(
        tmp_path / "long", range(1700), lambda step: [made_reading("a", dimension=1 + step % 9)]
    )
    run = fathom.open_run(tmp_path / "long")
    drawn = cells(run.plot.evolution())
    np.testing.assert_array_equal(drawn[:-1], run.statistic("saturation")[:-1:2])
    assert drawn[-1] == run.statistic("saturation")[-1]
    computed = cells(run.plot.evolution(threshold=0.5))
    at_half = run.statistic("saturation", threshold=0.5)
    np.testing.assert_array_equal(computed, np.concatenate([at_half[:-1:8], at_half[-1:]]))


def test_a_vector_file_holds_the_cells_as_one_image(tmp_path: Path) -> None:
    made_run(
        tmp_path / "run",
        range(300),
        lambda step: [made_reading(str(name), dimension=1 + step % 9) for name in range(30)],
    )
    target = io.BytesIO()
    figure_of(fathom.open_run(tmp_path / "run").plot.evolution()).savefig(target, format="svg")
    assert target.getvalue().count(b"<path") < 1000
    assert b"<image" in target.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "rank"}, "statistic must be one of .* got 'rank'"),
        ({"phase": "test"}, "phase must be one of train, eval, got 'test'"),
        ({"threshold": 0}, "threshold must be in .* got 0"),
    ],
)
def test_a_wrong_argument_is_refused(
    run: fathom.Run, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(fathom.ArgumentError, match=message):
        run.plot.evolution(**options)
