"""One statistic by layer, as fathom's own plots look."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.views.files import replaced
from fathom.views.plots.canvas import canvas, figure_of
from fathom.views.plots.quantities import QUANTITIES
from fathom.views.plots.ticks import name_layers


def draw(
    path: Path,
    values: Mapping[str, float],
    *,
    statistic: str,
    title: Sequence[str],
    size: tuple[float, float] | None,
    font: float | None,
    change: Callable[[Any], Any] | None,
) -> None:
    """Draw a picture, and write it.

    Args:
        path: The file.
        values: By layer, in execution order; nan where there is none.
        statistic: One of `fathom.STATISTICS`.
        title: Its parts.
        size: In inches; None for what so many layers need.
        font: Points of the axes' names and the title; None for those of fathom's plots.
        change: Called with the axes before they are saved.
    """
    size = size or (min(max(0.2 * len(values) + 2, 6.4), 14), 4.2)
    on = canvas(None, theme=None, size=size, where="CSVandPlottingWriter")
    axes, quantity = on.axes[0], QUANTITIES[statistic]
    numbers = [value if math.isfinite(value) else math.nan for value in values.values()]
    axes.plot(range(len(numbers)), numbers, marker="o", markersize=4, linewidth=1.2)
    axes.set_ylabel(quantity.label)
    if quantity.scale == "share":
        axes.set_ylim(-0.02, 1.02)
    elif quantity.scale == "log":
        axes.set_yscale("log", nonpositive="mask")
    else:
        axes.set_ylim(bottom=0)
    on.title(*title)
    on.settle()
    name_layers(axes.xaxis, list(values))
    if font is not None:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(font)
    if change is not None:
        change(axes)
    with replaced(path) as unfinished:
        figure_of(axes).savefig(unfinished, format="png", dpi=100)
