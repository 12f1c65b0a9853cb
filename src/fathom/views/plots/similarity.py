"""How alike layers are, as heat maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from fathom.views.look import COLORMAP, WORDS
from fathom.views.plots.canvas import FONT, Canvas, canvas, legend
from fathom.views.plots.heat import hatching, heat_map
from fathom.views.plots.names import plain
from fathom.views.plots.ticks import name_layers
from fathom.views.similarity import Similarity
from fathom.views.step_similarity import SimilarityOverSteps

_WHERE = "similarity"

# As many layers as have room for three digits in each cell.
_WRITTEN = 14

# Of a cell, in inches; from 60 layers on a figure grows no more.
_CELL, _LEAST, _MOST = 0.42, 2.8, 9.0

_LABELS = {
    "cka": "linear CKA (0: unrelated, 1: alike)",
    "svcca": "mean canonical correlation, SVCCA",
    "pwcca": "weighted canonical correlation, PWCCA",
    "eigenspaces": "share of the variance in the first step's directions",
}


def draw_similarity(found: Similarity, *, ax: Axes | None, theme: str | None) -> Axes:
    """Draw `Similarity.plot`.

    Args:
        found: What was compared.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.
    """
    size = _size(len(found.rows), len(found.columns))
    on = canvas(ax, theme=theme, size=size, where=_WHERE)
    axes = on.axes[0]
    dead = np.zeros(found.values.shape, dtype=bool)
    dead[[layer in found.constant_rows for layer in found.rows]] = True
    dead[:, [layer in found.constant_columns for layer in found.columns]] = True
    _cells(on, found.values, dead, method=found.method)
    on.title(found.title(), above=int(dead.any()))
    on.settle()
    name_layers(axes.yaxis, found.rows)
    name_layers(axes.xaxis, found.columns)
    axes.set_xlim(-0.5, len(found.columns) - 0.5)
    if not found.within:
        first, second = found.models
        same = first == second
        axes.set_ylabel(f"{plain(first)}{', the first' if same else ''}: {axes.get_ylabel()}")
        axes.set_xlabel(f"{plain(second)}{', the second' if same else ''}: {axes.get_xlabel()}")
    return axes


def draw_over_steps(found: SimilarityOverSteps, *, ax: Axes | None, theme: str | None) -> Axes:
    """Draw `SimilarityOverSteps.plot` of all layers.

    Args:
        found: What was compared.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.
    """
    size = _size(len(found.layers), len(found.steps))
    on = canvas(ax, theme=theme, size=size, where=_WHERE)
    dead = np.zeros(found.to_last.shape, dtype=bool)
    last = found.steps[-1]
    for layer, step in found.constant:
        row = found.layers.index(layer)
        dead[row, found.steps.index(step)] = True
        if step == last:
            dead[row] = True
    _cells(on, found.to_last, dead, method=found.method)
    on.title(f"{found.title()}, each step with step {last}", above=int(dead.any()))
    on.settle()
    name_layers(on.axes[0].yaxis, found.layers)
    _name_steps(on.axes[0].xaxis, found.steps)
    on.axes[0].set_xlabel(WORDS["step"])
    return on.axes[0]


def draw_layer_over_steps(
    found: SimilarityOverSteps, layer: str, *, ax: Axes | None, theme: str | None
) -> Axes:
    """Draw `SimilarityOverSteps.plot` of one layer.

    Args:
        found: What was compared.
        layer: Its name.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.
    """
    values = found[layer]
    size = _size(len(found.steps), len(found.steps))
    on = canvas(ax, theme=theme, size=size, where=_WHERE)
    axes = on.axes[0]
    still = [(layer, step) in found.constant for step in found.steps]
    dead = np.logical_or.outer(still, still)
    _cells(on, values, dead, method=found.method)
    on.title(layer or "(model)", found.title(), above=int(dead.any()))
    on.settle()
    axes.set_ylim(len(values) - 0.5, -0.5)
    for axis, words in (
        (axes.yaxis, "of" if found.method == "eigenspaces" else ""),
        (axes.xaxis, "at" if found.method == "eigenspaces" else ""),
    ):
        _name_steps(axis, found.steps)
        what = {"of": "step of the directions", "at": "step of the variance"}
        axis.set_label_text(what.get(words, WORDS["step"]))
    return axes


def _cells(
    on: Canvas, values: NDArray[np.float64], dead: NDArray[np.bool_], *, method: str
) -> None:
    axes = on.axes[0]
    axes.grid(visible=False)
    rows, columns = values.shape
    edges = (np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5)
    # One range for all: pictures can be laid beside each other. CKA that is below 0 is noise.
    heat_map(
        on,
        edges,
        np.where(dead, np.nan, values),
        norm=Normalize(0, 1),
        label=_LABELS[method],
        extend="min" if (values < -0.005).any() else "neither",
    )
    if dead.any():
        style = hatching("....", on.look, empty=True)
        squares = [_square(row, column) for row, column in np.argwhere(dead)]
        axes.add_collection(PolyCollection(squares, rasterized=True, **style), autolim=False)
        entries: list[tuple[Any, str]] = [(Patch(**style), "constant: no similarity")]
        legend(
            axes,
            on.look,
            entries,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            frameon=False,
        )
    if max(rows, columns) <= _WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if not dead[row, column]:
                red, green, blue, _ = colormaps[COLORMAP](min(max(float(value), 0.0), 1.0))
                bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue
                axes.text(
                    column,
                    row,
                    f"{value:.2f}".replace("-0.00", "0.00"),
                    ha="center",
                    va="center",
                    color="#000000" if bright > 0.45 else "#ffffff",
                    fontsize=FONT - 0.5,
                )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)


def _square(row: int, column: int) -> NDArray[np.float64]:
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    shifted: NDArray[np.float64] = corners + np.array([column, row])
    return shifted


def _name_steps(axis: Any, steps: Sequence[int]) -> None:
    every = max(1, -(-len(steps) // 12))
    axis.set_major_locator(FixedLocator(list(range(0, len(steps), every))))
    axis.set_major_formatter(
        FuncFormatter(lambda place, _: str(steps[round(place)]) if place < len(steps) else "")
    )


def _size(rows: int, columns: int) -> tuple[float, float]:
    wide, tall = (min(max(_CELL * count, _LEAST), _MOST) for count in (columns, rows))
    return wide + 2.6, tall + 1.5
