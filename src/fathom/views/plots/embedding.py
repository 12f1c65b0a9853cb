"""Samples of a layer in two directions, coloured by class."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from fathom.views.plots.canvas import FONT, canvas, legend
from fathom.views.plots.names import plain, short_names
from fathom.views.plots.series import MARKERS

_WHERE = "embedding"

_MOST = 14
"""Classes in the legend."""


def draw_embedding(
    coordinates: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
    shares: tuple[float, float],
    *,
    layer: str,
    ax: Axes | None,
    theme: str | None,
) -> Axes:
    """Draw `Embedding.plot`.

    Args:
        coordinates: (n, 2), in activation units.
        labels: (n,) classes; None where there are none.
        shares: Of the variance, along the two.
        layer: Its name.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.
    """
    on = canvas(ax, theme=theme, size=(6.4, 4.8), where=_WHERE)
    axes, look = on.axes[0], on.look
    on.title(short_names([layer], most=56)[0][0], f"{len(coordinates):,} samples")
    for axis, word, share in ((axes.xaxis, "first", shares[0]), (axes.yaxis, "second", shares[1])):
        axis.set_label_text(f"{word} eigendirection ({share:.1%} of the variance)")
    axes.grid(visible=True, axis="both", color=look.line, linewidth=0.5, alpha=0.6)
    classes = [None] if labels is None else np.unique(labels).tolist()
    entries = []
    for place, each in enumerate(classes):
        chosen = slice(None) if labels is None else labels == each
        points = coordinates[chosen]
        # No two of 49 classes have both the colour and the marker of another.
        turn, column = divmod(place, len(look.series))
        colour = look.series[column]
        marker = MARKERS[(column + turn) % len(MARKERS)]
        dots = axes.scatter(
            points[:, 0], points[:, 1], s=14, color=colour, marker=marker, alpha=0.7, linewidths=0
        )
        if each is None:
            continue
        entries.append((dots, f"{each}"))
        # The name stands where the class lies, for readers who see no difference in colours.
        x, y = np.nanmedian(points, axis=0)
        axes.text(
            x,
            y,
            plain(f"{each}"),
            color=look.text,
            fontsize=FONT + 2,
            fontweight="bold",
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.15", "fc": look.background, "ec": colour, "alpha": 0.85},
        )
    if 0 < len(entries) <= _MOST:
        legend(axes, look, entries, **on.beside)
    on.settle()
    return axes
