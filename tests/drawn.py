"""What a plot shows, read from its axes."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray


def xs(line: Any) -> list[float]:
    return [float(number) for number in line.get_xdata()]


def ys(line: Any) -> NDArray[np.float64]:
    return np.asarray(line.get_ydata(), dtype=np.float64)


def words(axes: Axes) -> list[str]:
    """The words of the legend."""
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []
