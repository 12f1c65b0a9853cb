"""The layers along an axis: as many names as there is room for, at every size and zoom."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, Locator

from fathom.views.look import WORDS
from fathom.views.plots.canvas import FONT, figure_of
from fathom.views.plots.names import plain, short_names

# Of the font's size: the height of a line, its slanted line, and the usual width of a character.
_LINE, _SLANTED, _CHARACTER = 1.3, 2.0, 0.68


class LayerTicks(Locator):
    """Every layer, or every second, third and so on, where their names have no room."""

    def __init__(self, count: int, *, need: float):
        """Take what there is to show.

        Args:
            count: The number of layers, at 0, 1, 2 and so on.
            need: Points from one name to the next.
        """
        self._count = count
        self._need = need

    def __call__(self) -> Sequence[float]:
        """Return the places of those that are in view."""
        low, high = sorted(self.axis.get_view_interval())  # type: ignore[union-attr]
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the places between two ends.

        Args:
            vmin: The lower end.
            vmax: The upper end.

        Returns:
            Whole numbers, evenly.
        """
        every = max(1, math.ceil(self._need * (vmax - vmin) / max(_length(self.axis), 1.0)))
        first = max(0, math.ceil(vmin / every) * every)
        return list(np.arange(first, min(self._count - 1, math.floor(vmax)) + 1, every))


def name_layers(axis: Axis, names: Sequence[str]) -> None:
    """Put layers along an axis, at 0, 1, 2 and so on.

    Args:
        axis: The x axis, or the y axis from top to bottom.
        names: In execution order.
    """
    shorts, prefix = short_names(names)
    labels = [plain(short) for short in shorts]
    size = FONT - 0.5 if len(names) <= 40 else FONT - 1.5
    need = _LINE * size
    slanted = False
    axis.set_tick_params(labelsize=size, length=2 if len(names) > 60 else 3)
    if axis.axis_name == "x":
        room = _length(axis) / max(len(names), 1)
        widest = _CHARACTER * size * max(map(len, shorts), default=0) + size
        if widest <= room:
            need = widest
        elif room >= _SLANTED * size:
            need = _SLANTED * size
            slanted = True
            axis.set_tick_params(rotation=40)
        else:
            axis.set_tick_params(rotation=90)
        axis.axes.set_xlim(-0.6, max(len(names), 1) - 0.4)
    else:
        axis.axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.set_major_locator(LayerTicks(len(names), need=need))
    axis.set_major_formatter(
        FuncFormatter(lambda place, _: labels[round(place)] if 0 <= place < len(labels) else "")
    )
    if slanted:
        for label in axis.get_ticklabels():
            label.set(ha="right", rotation_mode="anchor")
    words = f"{WORDS['layer']}; all in {prefix[:-1]}" if prefix else WORDS["layer"]
    axis.set_label_text(plain(words))


def label_height(names: Sequence[str]) -> float:
    """Return how high names are that stand upright, in inches."""
    return 0.62 * FONT / 72 * max(map(len, short_names(names)[0]), default=0)


def _length(axis: Axis | object) -> float:
    """Return the length of an axis in points."""
    axes = axis.axes  # type: ignore[attr-defined]
    pixels = axes.bbox.width if axis.axis_name == "x" else axes.bbox.height  # type: ignore[attr-defined]
    return float(pixels / figure_of(axes).dpi * 72)
