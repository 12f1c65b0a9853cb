"""The average saturation beside the user's metrics, one panel each over the same steps.

Panels, as two scales on one plot suggest that curves meet or cross where only the scales were
chosen so.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from fathom.errors import ArgumentError, choose
from fathom.reading import PHASES
from fathom.store.stored import StoredRun
from fathom.store.timeline import Timeline
from fathom.views.look import WORDS, Look
from fathom.views.names import run_labels
from fathom.views.plots.canvas import Canvas, Panels, canvas, figure_of, legend, message
from fathom.views.plots.names import plain
from fathom.views.plots.series import MOST, Style, styles
from fathom.views.plots.ticks import step_ticks

_WHERE = "metrics"

_USUAL = 8
"""Metrics that are shown unasked."""

# A metric that spans more is drawn on a log axis: of a loss from 2 to 0.002 the end is as telling.
_ORDERS = 1000

# Of a style's own dashes, and whether it is train: four lines that are told apart in one colour.
_DASHES = {("-", False): "-", ("-", True): "--", ("--", False): "-.", ("--", True): ":"}

# Past it, matplotlib's own margins overflow.
_LARGEST = 1e300


def draw_metrics(
    runs: Sequence[StoredRun],
    *,
    names: Sequence[str] | None,
    ax: Sequence[Axes] | Axes | None,
    theme: str | None,
) -> Panels:
    """Draw `Plots.metrics`.

    Args:
        runs: Laid over each other.
        names: The metrics; None for the first eight.
        ax: One more than there are metrics.
        theme: `light` or `dark`.

    Returns:
        The axes, that of the average saturation first.

    Raises:
        ArgumentError: If there is no such metric, or there are too many runs.
    """
    timelines = [Timeline(run) for run in runs]
    if not 0 < len(runs) <= MOST:
        raise ArgumentError(f"{_WHERE}: runs must be 1 to {MOST}, got {len(runs)}.")
    recorded = tuple(dict.fromkeys(name for each in timelines for name in each.metrics))
    for name in names or ():
        choose(name, recorded, where=f"{_WHERE}: names")
    shown = recorded[:_USUAL] if names is None else tuple(dict.fromkeys(names))
    rows = 1 + len(shown)
    on = canvas(ax, theme=theme, size=(8, 1.2 + 1.45 * rows), rows=rows, where=_WHERE)
    called = run_labels([run.path for run in runs])
    more = len(recorded) - len(shown)
    aside = f"{len(shown)} of {len(recorded)} metrics" if more and names is None else ""
    on.title(called[0] if len(runs) == 1 else "", aside)
    for axes, name in zip(on.axes, (WORDS["average"], *shown), strict=True):
        axes.set_ylabel(plain(name if len(name) <= 19 else f"{name[:8]}…{name[-10:]}"))
        if axes is not on.axes[-1]:
            axes.tick_params(labelbottom=False)
    on.axes[-1].set_xlabel(WORDS["step"])
    steps = sorted({step for each in timelines for step in each.steps})
    for axes in on.axes:
        axes.xaxis.set_major_locator(step_ticks(steps))
    several = called if len(runs) > 1 else [""]
    lines = list(zip(timelines, several, styles(on.look, len(runs)), strict=True))
    _averages(on, lines)
    for axes, name in zip(on.axes[1:], shown, strict=True):
        _metric(axes, name, lines, on.look)
    if on.own:
        figure_of(on.axes[0]).align_ylabels(on.axes)
    return Panels(on.axes)


_Lines = Sequence[tuple[Timeline, str, Style]]


def _averages(on: Canvas, lines: _Lines) -> None:
    axes, entries = on.axes[0], list[tuple[Any, str]]()
    for timeline, label, style in lines:
        for phase in reversed(PHASES):
            values = timeline.averages(phase=phase)
            if np.isfinite(values).any():
                line = _line(axes, timeline.steps, values, style, is_hollow=phase == "train")
                entries.append((line, ", ".join(part for part in (label, phase) if part)))
    if not entries:
        message(axes, on.look, "No average saturation")
    legend(axes, on.look, entries, **on.beside)


def _metric(axes: Axes, name: str, lines: _Lines, look: Look) -> None:
    entries: list[tuple[Any, str]] = []
    finite: list[NDArray[np.float64]] = []
    for timeline, _, style in lines:
        values = np.array([each.metrics.get(name, np.nan) for each in timeline.moments])
        given = np.array([name in each.metrics for each in timeline.moments], dtype=np.bool_)
        shown = np.where(np.abs(values) < _LARGEST, values, np.nan)
        finite.append(shown[np.isfinite(shown)])
        _line(axes, timeline.steps, shown, style, is_hollow=False)
        broken = np.array(timeline.steps, dtype=np.float64)[given & ~np.isfinite(shown)]
        if len(broken):
            (marks,) = axes.plot(
                broken,
                np.full(len(broken), 0.06),
                linestyle="none",
                marker="x",
                color=style.colour,
                transform=axes.get_xaxis_transform(),
            )
            entries = [(marks, "nan or infinite")]
    known = np.concatenate(finite)
    if len(known) and known.min() > 0 and known.max() / known.min() > _ORDERS:
        axes.set_yscale("log")
    legend(axes, look, entries, loc="best")


def _line(
    axes: Axes,
    steps: Sequence[int],
    values: NDArray[np.float64],
    style: Style,
    *,
    is_hollow: bool,
) -> Any:
    few = len(steps) <= 40
    (line,) = axes.plot(
        np.array(steps, dtype=np.float64),
        values,
        color=style.colour,
        linestyle=_DASHES[style.dashes, is_hollow],
        linewidth=1.4,
        marker=style.marker if few else None,
        markersize=4,
        markerfacecolor=axes.get_facecolor() if is_hollow else style.colour,
    )
    return line
