"""What all plots promise: on given axes or their own, in two themes, and no trace elsewhere."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

import fathom
from fathom.views.look import DARK, LIGHT
from fathom.views.plots import canvas
from made_runs import made_reading, made_run

PLOTS: dict[str, Callable[..., Any]] = {
    "layers": lambda run, **options: run.plot.layers(**options),
    "evolution": lambda run, **options: run.plot.evolution(**options),
    "spectrum": lambda run, **options: run.plot.spectrum("b", **options),
    "metrics": lambda run, **options: run.plot.metrics(**options),
}
AXES = {"layers": 1, "evolution": 1, "spectrum": 2, "metrics": 2}


@pytest.fixture
def run(tmp_path: Path) -> fathom.Run:
    made_run(
        tmp_path / "run",
        range(3),
        lambda step: [made_reading(name, dimension=3 + step) for name in "abc"],
        metrics=lambda step: {"loss": 1 / (step + 1)},
        output_layer="c",
    )
    return fathom.open_run(tmp_path / "run")


def figure_of(drawn: Axes | tuple[Axes, ...]) -> Figure:
    return canvas.figure_of(drawn[0] if isinstance(drawn, tuple) else drawn)


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_writes_nothing_and_leaves_all_settings(
    run: fathom.Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before = dict(mpl.rcParams), plt.get_fignums()
    inside = sorted((each.name, each.stat().st_size) for each in run.path.iterdir())
    figure_of(PLOTS[name](run, theme="dark")).savefig(io.BytesIO(), format="png")
    assert (dict(mpl.rcParams), plt.get_fignums()) == before
    assert list(elsewhere.iterdir()) == []
    after = sorted((each.name, each.stat().st_size) for each in run.path.iterdir())
    assert {name for name, _ in after} - {name for name, _ in inside} <= {
        "run.sqlite-shm",
        "run.sqlite-wal",
    }


def test_neither_fathom_nor_a_plot_imports_pyplot(run: fathom.Run) -> None:
    script = (
        "import sys, fathom\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"axes = fathom.open_run({str(run.path)!r}).plot.layers()\n"
        "axes.figure.savefig(__import__('io').BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_one_line_says_what_to_install(
    run: fathom.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(fathom.MissingExtraError, match="'plots'"):
        _ = run.plot


@pytest.mark.parametrize("name", PLOTS)
def test_given_axes_are_drawn_on_and_returned(run: fathom.Run, name: str) -> None:
    figure = Figure()
    axes = [figure.add_subplot(1, AXES[name], 1 + place) for place in range(AXES[name])]
    given = axes[0] if len(axes) == 1 else axes
    drawn = PLOTS[name](run, ax=given)
    assert (list(drawn) if isinstance(drawn, tuple) else [drawn]) == axes
    assert all(each.has_data() for each in axes)
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("name", ["spectrum", "metrics"])
def test_too_few_axes_are_refused(run: fathom.Run, name: str) -> None:
    with pytest.raises(fathom.ArgumentError, match="ax must be 2 Axes of matplotlib, got"):
        PLOTS[name](run, ax=[Figure().add_subplot()])


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize(("theme", "look"), [("light", LIGHT), ("dark", DARK), (None, LIGHT)])
def test_a_theme_colours_figure_text_and_lines(
    run: fathom.Run, name: str, theme: str | None, look: Any
) -> None:
    figure = figure_of(PLOTS[name](run, theme=theme))
    assert to_hex(figure.get_facecolor()) == look.background
    for axes in figure.axes:
        assert to_hex(axes.yaxis.label.get_color()) == look.text
        shown = [label for label in axes.get_yticklabels() if label.get_text()]
        assert {to_hex(label.get_color()) for label in shown} <= {look.text}
    if name != "evolution":
        assert to_hex(figure.axes[0].lines[0].get_color()) == look.series[0]


def test_on_given_axes_the_theme_follows_their_figure(run: fathom.Run) -> None:
    figure = Figure(facecolor="black")
    axes = run.plot.layers(ax=figure.add_subplot())
    assert to_hex(axes.lines[0].get_color()) == DARK.series[0]
    assert to_hex(figure.get_facecolor()) == "#000000"


@pytest.mark.parametrize("name", PLOTS)
def test_an_unknown_theme_is_refused(run: fathom.Run, name: str) -> None:
    with pytest.raises(fathom.ArgumentError, match="theme must be one of light, dark, got 'dim'"):
        PLOTS[name](run, theme="dim")


@pytest.mark.parametrize("name", PLOTS)
def test_a_notebook_shows_what_is_returned(run: fathom.Run, name: str) -> None:
    drawn = PLOTS[name](run)
    picture = Image.open(io.BytesIO(drawn._repr_png_()))
    assert picture.format == "PNG"
    assert len(np.unique(np.asarray(picture.convert("L")))) > 10
    assert isinstance(figure_of(drawn), canvas.ShownFigure)


@pytest.mark.parametrize("name", PLOTS)
def test_names_are_only_ever_text(tmp_path: Path, name: str) -> None:
    names = ["_hidden", r"$\frac{a}$", r"a\$b$", "<img src=x onerror=alert(1)>", "tab\there\n"]
    for folder in ("_$x^$", "_$y^$"):
        made_run(
            tmp_path / folder,
            range(2),
            lambda step: [made_reading(each, dimension=4) for each in names],
            metrics=lambda step: {"$m_{^": 1.0, "_n": float(step)},
        )
    runs = [fathom.open_run(tmp_path / folder) for folder in ("_$x^$", "_$y^$")]
    draw: dict[str, Callable[[], Any]] = {
        "layers": lambda: runs[0].plot.layers(runs=runs[1:]),
        "evolution": lambda: runs[0].plot.evolution(),
        "spectrum": lambda: runs[0].plot.spectrum(names[1], runs=runs[1:]),
        "metrics": lambda: runs[0].plot.metrics(runs=runs[1:]),
    }
    figure = figure_of(draw[name]())
    figure.draw_without_rendering()
    legends = [each for axes in figure.axes if (each := axes.get_legend())]
    said = [text.get_text() for each in legends for text in each.get_texts()]
    assert name == "evolution" or any(text.startswith(r"_\$x^\$") for text in said)


def test_an_empty_run_says_so(tmp_path: Path) -> None:
    run = fathom.open_run(made_run(tmp_path / "run", [], lambda step: []))
    with pytest.raises(fathom.RunNotFoundError, match="must hold a snapshot"):
        run.plot.layers()
    assert "No layer was observed" in run.plot.evolution().texts[0].get_text()
    assert "No average" in run.plot.metrics()[0].texts[0].get_text()


@pytest.mark.parametrize("name", PLOTS)
def test_huge_negative_and_single_steps_are_drawn(tmp_path: Path, name: str) -> None:
    for number, steps in enumerate(([-7, 10**12, 2**60, 2**60 + 1], [2**62], [-3])):
        made = made_run(
            tmp_path / str(number), steps, lambda step: [made_reading("b", dimension=2)]
        )
        figure_of(PLOTS[name](fathom.open_run(made))).savefig(io.BytesIO(), format="png")
