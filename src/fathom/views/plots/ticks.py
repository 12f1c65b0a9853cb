"""The layers along an axis: as many names as there is room for, at every size and zoom."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, MaxNLocator

from fathom.views.look import WORDS
from fathom.views.plots.canvas import FONT, figure_of
from fathom.views.plots.names import plain, short_names

# Of the font's size: the height of a line, its slanted line, and the usual width of a character.
_LINE, _SLANTED, _CHARACTER = 1.3, 2.0, 0.68

_FEW = 14


class LayerTicks(Locator):
    """Every layer, or every second, third and so on, where their names have no room."""

    def __init__(self, along: Axis, count: int, *, need: float):
        """Take what there is to show.

        Args:
            along: The axis.
            count: The number of layers, at 0, 1, 2 and so on.
            need: Points from one name to the next.
        """
        self._along = along
        self._count = count
        self._need = need

    def __call__(self) -> Sequence[float]:
        """Return the places of those that are in view."""
        low, high = sorted(self._along.get_view_interval())
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the places between two ends.

        Args:
            vmin: The lower end.
            vmax: The upper end.

        Returns:
            Whole numbers, evenly.
        """
        every = max(1, math.ceil(self._need * (vmax - vmin) / max(_length(self._along), 1.0)))
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
    if isinstance(axis, XAxis):
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
    axis.set_major_locator(LayerTicks(axis, len(names), need=need))
    axis.set_major_formatter(
        FuncFormatter(lambda place, _: labels[round(place)] if 0 <= place < len(labels) else "")
    )
    if slanted:
        for label in axis.get_ticklabels():
            label.set(ha="right", rotation_mode="anchor")
    common = f"\nall in {plain(prefix[:-1])}" if prefix else ""
    axis.set_label_text(WORDS["layer"] + common)


def step_ticks(steps: Sequence[int]) -> Locator:
    """Return ticks at the steps themselves where they are few and apart, else at round numbers."""
    gaps = np.diff(np.array(steps, dtype=np.float64))
    if 0 < len(gaps) < _FEW and gaps.min() * _FEW >= gaps.sum():
        return FixedLocator([float(step) for step in steps])
    return MaxNLocator(integer=True, steps=[1, 2, 5, 10])


def label_height(names: Sequence[str]) -> float:
    """Return how high names are that stand upright, in inches."""
    return 0.62 * FONT / 72 * max(map(len, short_names(names)[0]), default=0)


def _length(axis: Axis) -> float:
    """Return the length of an axis in points."""
    box = axis.axes.bbox
    pixels = box.width if isinstance(axis, XAxis) else box.height
    return float(pixels / figure_of(axis.axes).dpi * 72)
