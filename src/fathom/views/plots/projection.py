"""Accuracy by threshold while layers are projected: which of them need their dimensions."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fathom.errors import RunNotFoundError
from fathom.projections import ProjectionCurve
from fathom.views.curves import curves_of
from fathom.views.look import Look
from fathom.views.names import run_labels
from fathom.views.plots.canvas import canvas, legend
from fathom.views.plots.names import short_names
from fathom.views.plots.series import styles

_WHERE = "projection"

# As many as there are colours: each layer is told by its colour alone, too.
_COLOURED = 7


def draw_projection(folder: Path, *, step: int | None, ax: Axes | None, theme: str | None) -> Axes:
    """Draw `Plots.projection`.

    Args:
        folder: The run's.
        step: Of the curve; None for the last that was recorded.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.

    Raises:
        RunNotFoundError: If there is no such curve.
    """
    curves = curves_of(folder)
    found = [each for each in curves if step is None or each.step == step]
    if not found:
        there = ", ".join("now" if each.step is None else f"{each.step}" for each in curves)
        raise RunNotFoundError(
            f"{_WHERE}: run must hold a curve{'' if step is None else f' of step {step}'}, got "
            f"{folder} with {f'those of {there}' if curves else 'none'}. Record one with "
            "fathom.projection_curve(model, eval_fn, source=..., run=...)."
        )
    return draw_curve(found[-1], title=run_labels([folder])[0], ax=ax, theme=theme)


def draw_curve(
    curve: ProjectionCurve, *, title: str = "", ax: Axes | None = None, theme: str | None = None
) -> Axes:
    """Draw one curve.

    Args:
        curve: What was measured.
        title: What it is of.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.
    """
    on = canvas(ax, theme=theme, size=(8.4, 4.4), where=_WHERE)
    axes, look = on.axes[0], on.look
    on.title(title, "" if curve.step is None else f"step {curve.step}", curve.phase or "")
    # Thresholds lie ever closer to 1: at even distances, all of them are read.
    places = np.arange(len(curve.thresholds))
    axes.set_xticks(places, [f"{each:g}" for each in curve.thresholds])
    axes.set_xlabel("share of the variance that is kept")
    axes.set_ylabel("accuracy while projected")
    thick: dict[str, Any] = {"linewidth": 2.8, "color": look.text, "zorder": 3}
    baseline = axes.axhline(curve.baseline, color=look.faint, linestyle=":", linewidth=1.2)
    (together,) = axes.plot(places, curve.all, marker="o", markersize=5, **thick)
    entries: list[tuple[Any, str]] = [
        (baseline, f"not projected: {curve.baseline:.3f}"),
        (together, "all layers at once"),
    ]
    if curve.random is not None:
        thick |= {"linewidth": 1.8, "linestyle": "--"}
        (control,) = axes.plot(places, curve.random, marker="x", markersize=5, **thick)
        entries.append((control, "all, random directions"))
    entries += _layers(axes, curve, look)
    if all(0 <= value <= 1 for value in (curve.baseline, *curve.all.tolist())):
        axes.set_ylim(-0.02, 1.02)
    legend(axes, look, entries, **on.beside)
    on.settle()
    return axes


def _layers(axes: Axes, curve: ProjectionCurve, look: Look) -> list[tuple[Any, str]]:
    """Draw each layer, and return what the legend says of them."""
    places = np.arange(len(curve.thresholds))
    names = list(curve.by_layer)
    lost = {name: float(np.nanmean(curve.by_layer[name])) for name in names}
    coloured = set(sorted(names, key=lost.__getitem__)[:_COLOURED])
    shown = [name for name in names if name in coloured]
    labels = dict(zip(names, short_names(names)[0], strict=True))
    entries: list[tuple[Any, str]] = []
    for name in names:
        if name not in coloured:
            axes.plot(places, curve.by_layer[name], color=look.faint, alpha=0.6, lw=0.8, zorder=1)
    for name, style in zip(shown, styles(look, len(shown)), strict=True):
        (line,) = axes.plot(
            places,
            curve.by_layer[name],
            color=style.colour,
            marker=style.marker,
            markersize=4,
            linewidth=1.1,
            zorder=2,
        )
        entries.append((line, f"{labels[name]} alone"))
    if more := len(names) - len(shown):
        aside = Line2D([], [], color=look.faint, alpha=0.6, lw=0.8)
        entries.append((aside, f"{more} more, which lose less"))
    return entries
