"""Cells in colours, and the bar that says what the colours mean."""

from typing import Any

import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from fathom.views.look import COLORMAP, Look
from fathom.views.plots.canvas import FONT, Canvas, figure_of

Numbers = NDArray[np.float64]


def heat_map(
    on: Canvas,
    edges: tuple[Numbers, Numbers],
    values: Numbers,
    *,
    norm: Normalize,
    label: str,
    extend: str = "neither",
) -> QuadMesh:
    """Draw a matrix on the first axes, with a colour bar to the right.

    Args:
        on: Where.
        edges: Where columns meet, and where rows meet.
        values: (rows, columns); nan is left empty.
        norm: From values to colours.
        label: Of the bar: the quantity and its unit.
        extend: At which end of the bar values lie beyond it, as matplotlib takes it.

    Returns:
        The cells.
    """
    axes = on.axes[0]
    mesh = axes.pcolormesh(
        *edges,
        np.ma.masked_invalid(values),
        cmap=COLORMAP,
        norm=norm,
        # In a vector file too the cells are one image: a path a cell makes it large and slow.
        rasterized=True,
    )
    tall = axes.bbox.height / figure_of(axes).dpi
    bar = figure_of(axes).colorbar(
        mesh, ax=axes, pad=0.02, fraction=0.05, aspect=tall / 0.2, extend=extend
    )
    bar.set_label(label, color=on.look.text, size=FONT + 0.5)
    bar.ax.tick_params(which="both", color=on.look.line, labelcolor=on.look.text, labelsize=FONT)
    bar.outline.set_visible(False)
    return mesh


def hatching(hatch: str, look: Look, *, empty: bool) -> dict[str, Any]:
    """Return the style of hatched cells.

    Args:
        hatch: As matplotlib takes it.
        look: The colours.
        empty: Whether there is no value below.
    """
    return {
        "facecolor": look.background if empty else "none",
        "edgecolor": look.faint if empty else "#ffffffb0",
        "hatch": hatch,
        "linewidth": 0.0,
    }
