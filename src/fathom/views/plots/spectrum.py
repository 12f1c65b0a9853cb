"""The eigenvalues of one layer, and their cumulative share with the threshold."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from fathom.errors import ArgumentError, near
from fathom.reading import Reading
from fathom.store.stored import StoredRun
from fathom.views.look import WORDS, Look
from fathom.views.plots.canvas import Panels, canvas, legend, message
from fathom.views.plots.names import short_names
from fathom.views.plots.series import (
    Series,
    Style,
    observed_last,
    phase_of,
    series_of,
    shared_title,
)

_WHERE = "spectrum"
_HALF = 0.5


def draw_spectrum(
    runs: Sequence[StoredRun],
    layer: str,
    *,
    steps: int | Iterable[int] | None,
    phase: str | None,
    threshold: float | None,
    ax: Sequence[Axes] | None,
    theme: str | None,
) -> Panels:
    """Draw `Plots.spectrum`.

    Args:
        runs: Laid over each other.
        layer: Its name.
        steps: Of each run.
        phase: `train` or `eval`; None for the usual one.
        threshold: Fraction of the total variance; None for that of the run.
        ax: Two axes.
        theme: `light` or `dark`.

    Returns:
        The axes of the eigenvalues and of their cumulative share.
    """
    layer = _known(layer, runs)
    on = canvas(ax, theme=theme, size=(10.5, 4.3), columns=2, where=_WHERE)
    values, shares = on.axes
    series = series_of(runs, steps, look=on.look, where=_WHERE)
    snapshots = [each.run.snapshot(each.step, threshold=threshold) for each in series]
    phase = phase_of(phase, observed_last(series, snapshots), where=_WHERE)
    run, step = shared_title(series)
    on.title(run, short_names([layer], most=56)[0][0], step, phase)
    found = [
        (each, reading)
        for each, snapshot in zip(series, snapshots, strict=True)
        if (reading := snapshot.phase(phase).get(layer)) is not None
    ]
    for axes, label in ((values, WORDS["eigenvalue"]), (shares, WORDS["share"])):
        axes.set_xlabel("rank")
        axes.set_ylabel(label)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}"))
    shares.set_ylim(0, 1.03)
    drawn = [(each, reading) for each, reading in found if float(reading.eigenvalues[0]) > 0]
    if not drawn:
        words = "No variance was read" if found else "This layer was not observed"
        message(values, on.look, f"{words} in the {phase} phase")
        return Panels(on.axes)
    values.set_yscale("log", nonpositive="mask")
    for level in sorted({reading.threshold for _, reading in drawn}):
        shares.axhline(level, color=on.look.faint, linestyle="--", linewidth=1.0)
    entries = [_values(values, each, reading) for each, reading in drawn]
    legend(values, on.look, [entry for entry in entries if entry[1]], loc="best")
    told = [_shares(shares, each, reading, on.look) for each, reading in drawn]
    # Where much was captured, the lower right is free; else what lies above the curves.
    is_low = max(reading.captured for _, reading in drawn) < _HALF
    place = {"loc": "upper left", "bbox_to_anchor": (0, 0.94)} if is_low else {"loc": "lower right"}
    legend(shares, on.look, told, **place)
    widest = max(reading.width for _, reading in drawn)
    for axes in on.axes:
        axes.set_xlim(0.9, max(widest, 2) * 1.1)
    return Panels(on.axes)


def _known(layer: str, runs: Sequence[StoredRun]) -> str:
    """Refuse a layer that a run does not have, and name those that are called like it."""
    layer = "" if layer == "(model)" else layer
    for run in runs:
        layers = run.layers
        if layer not in layers:
            raise ArgumentError(
                f"{_WHERE}: layer must be one of the {len(layers)} of {run.path}, got {layer!r}. "
                f"{near(layer, layers)}"
            )
    return layer


def _values(axes: Axes, series: Series, reading: Reading) -> tuple[Any, str]:
    eigenvalues = reading.eigenvalues.numpy()
    line = _drawn(axes, eigenvalues, series.style)
    zeros = int(np.count_nonzero(eigenvalues == 0))
    aside = [f"{zeros} of {reading.width} are 0"] if zeros else []
    if reading.sketched:
        aside.append(f"the {len(eigenvalues)} largest of {reading.width}, from a sketch")
    return line, ": ".join(part for part in (series.label, ", ".join(aside)) if part)


def _shares(axes: Axes, series: Series, reading: Reading, look: Look) -> tuple[Any, str]:
    eigenvalues = reading.eigenvalues.numpy()
    total = eigenvalues.sum() / reading.captured
    share = np.cumsum(eigenvalues / total)
    line = _drawn(axes, share, series.style)
    dimension = reading.intrinsic_dimension
    if np.isfinite(dimension) and dimension > 0:
        # The eigenvalues are those of this reading, so the rank is always among them.
        place = int(dimension)
        face = look.background if reading.status == "provisional" else series.style.colour
        axes.plot(
            [place],
            [share[place - 1]],
            linestyle="none",
            marker=series.style.marker,
            markersize=7,
            color=series.style.colour,
            markerfacecolor=face,
        )
        axes.vlines(
            place, 0, share[place - 1], color=series.style.colour, linestyle=":", linewidth=1.0
        )
        words = f"{place} of {reading.width} reach {reading.threshold:.6g}"
    else:
        words = (
            f"more than {reading.at_least - 1} of {reading.width} reach {reading.threshold:.6g}; "
            f"{reading.captured:.1%} captured"
        )
    if reading.status in {"provisional", "coarse"}:
        words += f" ({reading.status})"
    handle = Line2D([], [], color=series.style.colour, linestyle=line.get_linestyle(), ms=5)
    handle.set_marker(series.style.marker)
    return handle, f"{series.label}: {words}" if series.label else words


def _drawn(axes: Axes, numbers: np.ndarray[Any, Any], style: Style) -> Line2D:
    ranks = np.arange(1, len(numbers) + 1)
    (line,) = axes.plot(
        ranks,
        numbers,
        color=style.colour,
        linestyle=style.dashes,
        linewidth=1.5,
        # A point a rank, while there are few.
        marker=style.marker if len(numbers) <= 24 else None,
        markersize=3.5,
    )
    return line
