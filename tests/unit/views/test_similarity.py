"""Similarities as tables, in notebooks, in the store, and as heat maps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

import fathom
from drawn import words
from fathom.store.analyses import write_analysis
from fathom.views.look import COLORMAP
from fathom.views.plots.canvas import figure_of
from made_runs import made_reading, made_run


def layers(count: int, *, wide: int | None = None, **changes: Any) -> fathom.Similarity:
    wide = wide or count
    values = np.random.default_rng(0).uniform(0, 1, (count, wide))
    return fathom.Similarity(
        **{
            "method": "cka",
            "models": ("Net", "Net"),
            "within": False,
            "rows": tuple(f"blocks.{n}" for n in range(count)),
            "columns": tuple(f"blocks.{n}" for n in range(wide)),
            "values": values,
            "samples": 1234,
            **changes,
        }
    )


def steps(**changes: Any) -> fathom.SimilarityOverSteps:
    values = np.random.default_rng(0).uniform(0, 1, (2, 3, 3))
    return fathom.SimilarityOverSteps(
        **{
            "method": "svcca",
            "model": "Net",
            "layers": ("one", "two"),
            "steps": (0, 5, 20),
            "values": values,
            "samples": 99,
            **changes,
        }
    )


def map_of(axes: Axes) -> QuadMesh:
    (mesh,) = (each for each in axes.collections if isinstance(each, QuadMesh))
    return mesh


def cells(axes: Axes) -> NDArray[np.float64]:
    """(rows, columns), nan where there is none."""
    values: Any = map_of(axes).get_array()
    return np.asarray(np.ma.filled(values, np.nan), dtype=float)


def test_it_prints_as_a_table() -> None:
    found = layers(2, values=np.array([[1, 0.25], [-0.004, 0.5]]), constant_rows=("\x1b[2J",))
    assert str(found).splitlines() == [
        "linear CKA, Net and Net, 1,234 samples",
        "          blocks.0  blocks.1",
        "blocks.0     1.000     0.250",
        "blocks.1    -0.004     0.500",
        r"constant, so without a similarity: \x1b[2J",
    ]
    assert found["blocks.0", "blocks.1"] == 0.25
    with pytest.raises(fathom.ArgumentError, match="similarity: layer"):
        found["blocks.0", "blocks.2"]
    assert repr(found) == "Similarity(linear CKA, Net and Net, 1,234 samples: 2 × 2)"
    over = steps(values=np.full((2, 3, 3), 0.5), constant=(("two", 5),))
    assert str(over).splitlines() == [
        "SVCCA, Net, 99 samples: each step with the last",
        "         0      5     20",
        "one  0.500  0.500  0.500",
        "two  0.500  0.500  0.500",
        "constant, so without a similarity: two at 5",
    ]


def test_a_notebook_shows_names_as_text() -> None:
    html = layers(1, rows=("<script>",), columns=("<img>",))._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "<img>" not in html
    assert "&lt;b&gt;" in steps(layers=("<b>", "two"))._repr_html_()


def test_what_is_stored_is_read_again() -> None:
    for found in (layers(3, wide=2, left_out=3, constant_columns=("blocks.1",)), steps()):
        again = type(found).from_body(json.loads(json.dumps(found.to_body())))
        assert np.array_equal(again.values, found.values)
        assert again.to_body() == found.to_body()
    constant = steps(constant=(("one", 5),))
    assert fathom.SimilarityOverSteps.from_body(constant.to_body()).constant == (("one", 5),)


BAD = ["rows", "columns", "models", "values", "samples", "left_out", "constant_rows", "method"]


@pytest.mark.parametrize(
    "value", [None, 7.5, -1, True, "x", [1], [["x"]], {"a": 1}, [float("nan")]]
)
@pytest.mark.parametrize("key", BAD)
def test_anything_else_is_refused(key: str, value: object) -> None:
    if not (key == "method" and value == "cka"):
        with pytest.raises(fathom.DamagedRecordError):
            fathom.Similarity.from_body({**layers(2).to_body(), key: value})
    key = {"rows": "layers", "columns": "steps", "models": "model"}.get(key, key)
    if key in steps().to_body() and not (key == "model" and isinstance(value, str)):
        with pytest.raises(fathom.DamagedRecordError):
            fathom.SimilarityOverSteps.from_body({**steps().to_body(), key: value})


def test_a_run_with_a_damaged_one_opens_and_says_so(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", [0], lambda step: [made_reading("a", dimension=2)])
    with fathom.open_run(folder) as run:
        assert not run.similarities()
        assert not run.similarities_over_steps()
        with pytest.raises(fathom.ArgumentError, match="run must hold one, got none"):
            run.plot.similarity()
        write_analysis(folder, "similarity", "good", layers(2).to_body())
        write_analysis(folder, "similarity", "bad", {"values": 3})
        (folder / "analyses" / "similarity" / "torn.json").write_text("{")
        with pytest.warns(fathom.FathomWarning, match="similarity bad, torn of .* is left out"):
            assert list(run.similarities()) == ["good"]
        assert run.steps == [0]


def test_a_run_plots_what_it_keeps(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", [0], lambda step: [made_reading("a", dimension=2)])
    write_analysis(folder, "similarity", "cka", layers(2).to_body())
    with fathom.open_run(folder) as run:
        assert np.array_equal(cells(run.plot.similarity()), layers(2).values)
        write_analysis(folder, "similarity", "other", layers(3).to_body())
        assert cells(run.plot.similarity("other")).shape == (3, 3)
        with pytest.raises(fathom.ArgumentError, match="one of cka, other, got None"):
            run.plot.similarity()


@pytest.mark.parametrize(("count", "written"), [(3, True), (14, True), (15, False), (60, False)])
def test_cells_hold_their_values_where_they_are_few(count: int, written: bool) -> None:
    found = layers(count)
    axes = found.plot()
    assert np.array_equal(cells(axes), found.values)
    assert map_of(axes).get_cmap().name == COLORMAP
    assert map_of(axes).get_clim() == (0, 1)
    texts = [text.get_text() for text in axes.texts]
    assert texts == ([f"{value:.2f}" for value in found.values.flat] if written else [])
    bar = map_of(axes).colorbar
    assert bar is not None
    assert bar.ax.get_ylabel() == "linear CKA (0: unrelated, 1: alike)"
    assert axes.get_ylim() == (count - 0.5, -0.5)
    assert axes.get_xlim() == (-0.5, count - 0.5)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_names_of_60_layers_do_not_lie_over_each_other(theme: str) -> None:
    axes = layers(60).plot(theme=theme)
    figure_of(axes).draw_without_rendering()
    for axis, side in ((axes.xaxis, "width"), (axes.yaxis, "height")):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
        assert len(boxes) >= 30
        apart = abs(np.diff([(box.x0, box.y0) for box in boxes], axis=0)).max(1)
        assert (apart >= np.array([getattr(box, side) for box in boxes])[1:] * 0.95).all()


def test_axes_say_which_model_is_which() -> None:
    axes = layers(3).plot()
    assert axes.get_ylabel().startswith("Net, the first: layer, in execution order")
    assert axes.get_xlabel().startswith("Net, the second: layer, in execution order")
    assert layers(3, within=True).plot().get_xlabel().startswith("layer, in execution order")
    axes = layers(3, models=("A$b$", "B")).plot()
    assert axes.get_xlabel().startswith("B: layer")


def test_constant_layers_are_hatched_and_have_no_value() -> None:
    axes = layers(3, constant_rows=("blocks.1",), constant_columns=("blocks.0",)).plot()
    (hatched,) = (each for each in axes.collections if isinstance(each, PolyCollection))
    assert len(hatched.get_paths()) == 5
    assert words(axes) == ["constant: no similarity"]
    assert len(axes.texts) == 4
    assert np.isnan(cells(axes)).sum() == 5


def test_given_axes_are_drawn_on() -> None:
    given = Figure().add_subplot()
    assert layers(3).plot(ax=given) is given
    assert steps().plot("one", ax=given) is given


def test_steps_are_drawn_for_all_layers_or_for_one() -> None:
    found = steps(constant=(("two", 5),))
    axes = found.plot()
    expected = found.values[:, :, -1].copy()
    expected[1, 1] = np.nan
    assert np.array_equal(cells(axes), expected, equal_nan=True)
    figure_of(axes).draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "5", "20"]
    assert axes.get_title("left").endswith("each step with step 20")
    axes = found.plot("one")
    assert np.array_equal(cells(axes), found.values[0])
    assert axes.get_xlabel() == axes.get_ylabel() == "step"
    axes = steps(method="eigenspaces", samples=0).plot("one")
    assert axes.get_ylabel() == "step of the directions"
    assert axes.get_xlabel() == "step of the variance"
    with pytest.raises(fathom.ArgumentError, match="layer must be one of 2, got 'tow'"):
        found.plot("tow")
