"""One statistic of every layer at every step, as a heat map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch
from numpy.typing import NDArray

from fathom.reading import PHASES
from fathom.spectral.table import check_statistic
from fathom.store.stored import StoredRun
from fathom.store.summary import STATUSES
from fathom.store.timeline import Timeline
from fathom.views.look import WORDS
from fathom.views.names import run_labels
from fathom.views.plots.canvas import Canvas, canvas, legend, message
from fathom.views.plots.heat import hatching, heat_map
from fathom.views.plots.quantities import QUANTITIES
from fathom.views.plots.series import phase_of, threshold_words
from fathom.views.plots.ticks import name_layers, step_ticks

_WHERE = "evolution"

# Columns of the map; a figure has few more pixels for them. Fewer where every spectrum is computed
# for them: of 100 layers, 250 steps take a second.
_MOST, _MOST_COMPUTED = 1000, 250

# What a run tells of every step without its spectra, and how a timeline calls it.
_RECORDED = {"saturation": "saturation", "intrinsic_dimension": "dimension"}


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """(steps, layers) arrays: the values, and what kind of value each is."""

    values: NDArray[np.float64]
    marks: dict[str, NDArray[np.bool_]]


def draw_evolution(
    run: StoredRun,
    *,
    statistic: str,
    phase: str | None,
    threshold: float | None,
    ax: Axes | None,
    theme: str | None,
) -> Axes:
    """Draw `Plots.evolution`.

    Args:
        run: The run.
        statistic: One of `fathom.STATISTICS`.
        phase: `train` or `eval`; None for the usual one.
        threshold: Fraction of the total variance; None for that of the run.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.
    """
    check_statistic(statistic, where=f"{_WHERE}: statistic")
    recorded = _RECORDED.get(statistic) if threshold is None else None
    timeline = Timeline(run, most=_MOST if recorded else _MOST_COMPUTED)
    numbers = timeline.last.numbers["phase"] if timeline.last else ()
    phase = phase_of(phase, {PHASES[place] for place in numbers}, where=_WHERE)
    layers = timeline.layers
    size = (8.5, min(max(1.9 + 0.15 * len(layers), 3.9), 10))
    on = canvas(ax, theme=theme, size=size, where=_WHERE)
    axes = on.axes[0]
    with_threshold = statistic in {"saturation", "intrinsic_dimension"}
    lines = 0
    cells = _read(timeline, statistic=statistic, phase=phase, threshold=threshold)
    axes.set_xlabel(WORDS["step"])
    axes.xaxis.set_major_locator(step_ticks(timeline.steps))
    axes.grid(visible=False)
    if np.isfinite(cells.values).any():
        edges = _edges(timeline.steps)
        _map(on, edges, cells.values, statistic)
        lines = _marks(on, edges, cells.marks)
        axes.set_xlim(edges[0], edges[-1])
    else:
        seen = np.isfinite(timeline.numbers("status", phase=phase)).any()
        what = f"{QUANTITIES[statistic].none} was read" if seen else "No layer was observed"
        message(axes, on.look, f"{what} in the {phase} phase")
    on.title(
        *run_labels([run.path]),
        phase,
        threshold_words([run], threshold) if with_threshold else "",
        above=lines,
    )
    on.settle()
    name_layers(axes.yaxis, layers)
    return axes


def _read(timeline: Timeline, *, statistic: str, phase: str, threshold: float | None) -> _Cells:
    status = timeline.numbers("status", phase=phase)
    recorded = _RECORDED.get(statistic) if threshold is None else None
    bounds = np.full(status.shape, np.nan)
    if recorded:
        values = timeline.numbers(recorded, phase=phase)
        bounds = timeline.numbers("at_least", phase=phase)
        if statistic == "saturation":
            bounds = bounds / timeline.numbers("width", phase=phase)
        bounds = np.where(np.isfinite(values), np.nan, bounds)
    else:
        values = timeline.run.statistic(
            statistic, phase=phase, threshold=threshold, steps=timeline.steps
        )
    known = QUANTITIES[statistic].shows(values)
    is_bound = np.isfinite(bounds)
    return _Cells(
        np.where(known, values, bounds),
        {
            "provisional": known & (status == STATUSES.index("provisional")),
            "coarse": known & (status == STATUSES.index("coarse")),
            "bound": is_bound,
            "none": ~known & ~is_bound,
        },
    )


def _map(on: Canvas, edges: NDArray[np.float64], values: NDArray[np.float64], name: str) -> None:
    quantity = QUANTITIES[name]
    norm: Normalize = Normalize(*((0, 1) if quantity.scale == "share" else _range(values)))
    if quantity.scale == "log":
        norm = LogNorm(*_range(values))
    heat_map(
        on,
        (edges, np.arange(values.shape[1] + 1) - 0.5),
        values.T,
        norm=norm,
        label=quantity.label,
    )


_HATCHES = {
    "provisional": ("////", "provisional: too low"),
    "coarse": ("xxxx", "coarse: too high"),
    "bound": ("\\\\\\\\", "at least (sketched)"),
    "none": ("....", "no value"),
}


def _marks(on: Canvas, edges: NDArray[np.float64], marks: dict[str, NDArray[np.bool_]]) -> int:
    """Mark cells, and return how many lines the legend above the map has."""
    entries: list[tuple[Any, str]] = []
    for kind, (hatch, words) in _HATCHES.items():
        if not marks[kind].any():
            continue
        style = hatching(hatch, on.look, empty=kind == "none")
        on.axes[0].add_collection(
            PolyCollection(_stretches(marks[kind], edges), rasterized=True, **style),
            autolim=False,
        )
        on_map = "#7d7d7d" if kind != "none" else on.look.background
        entries.append((Patch(**style | {"facecolor": on_map}), words))
    columns = 4 if on.own else 2
    legend(
        on.axes[0],
        on.look,
        entries,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        borderaxespad=0.2,
        frameon=False,
    )
    return math.ceil(len(entries) / columns)


def _stretches(mask: NDArray[np.bool_], edges: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return a rectangle for each stretch of steps in which a layer is marked."""
    found = []
    for layer, column in enumerate(mask.T):
        turns = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]]).astype(int)))
        for begin, end in turns.reshape(-1, 2):
            left, right = edges[begin], edges[end]
            top, bottom = layer - 0.5, layer + 0.5
            found.append(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    return found


def _edges(steps: Sequence[int]) -> NDArray[np.float64]:
    """Return where columns meet: half-way between steps."""
    places = np.array(steps, dtype=np.float64)
    gaps = np.diff(places) if len(places) > 1 else np.ones(1)
    # An axis that is narrower than its numbers' rounding cannot be drawn.
    least = 1e-13 * float(np.abs(places).max())
    first, last = max(gaps[0], least) / 2, max(gaps[-1], least) / 2
    return np.concatenate(
        [[places[0] - first], (places[:-1] + places[1:]) / 2, [places[-1] + last]]
    )


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    return (low, high) if low < high else (low * 0.9, low * 1.1) if low > 0 else (low - 1, low + 1)
