"""One statistic by layer, in execution order: the figure of the papers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from fathom.probes import Probes
from fathom.reading import AVERAGED_KINDS, Readings
from fathom.snapshot import Snapshot
from fathom.spectral.table import check_statistic
from fathom.store.stored import StoredRun
from fathom.views.look import Look
from fathom.views.plots.canvas import Canvas, canvas, figure_of, legend, message
from fathom.views.plots.probes import draw_probes, step_and_probes
from fathom.views.plots.quantities import QUANTITIES
from fathom.views.plots.series import (
    Style,
    layers_in_order,
    observed_last,
    phase_of,
    series_of,
    shared_title,
    styles,
    threshold_words,
)
from fathom.views.plots.ticks import label_height, name_layers

_WHERE = "layers"


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """One series on the axis of all layers: (layers,) arrays, nan and empty where it has none."""

    style: Style
    label: str
    values: NDArray[np.float64]
    bounds: NDArray[np.float64]
    status: NDArray[np.str_]
    average: float

    @property
    def known(self) -> NDArray[np.bool_]:
        return np.isfinite(self.values) | np.isfinite(self.bounds)


def draw_layers(
    runs: Sequence[StoredRun],
    *,
    steps: int | Iterable[int] | None,
    phase: str | None,
    statistic: str,
    threshold: float | None,
    probes: bool,
    ax: Axes | None,
    theme: str | None,
) -> Axes:
    """Draw `Plots.layers`.

    Args:
        runs: Laid over each other.
        steps: Of each run.
        phase: `train` or `eval`; None for the usual one.
        statistic: One of `fathom.STATISTICS`.
        threshold: Fraction of the total variance; None for that of the run.
        probes: Whether to draw their accuracy too.
        ax: Where to draw.
        theme: `light` or `dark`.

    Returns:
        The axes.
    """
    check_statistic(statistic, where=f"{_WHERE}: statistic")
    layers = layers_in_order([run.layers for run in runs])
    steps, fitted = step_and_probes(runs, steps, where=_WHERE) if probes else (steps, None)
    on = _canvas(layers, ax=ax, theme=theme)
    series = series_of(runs, steps, look=on.look, where=_WHERE)
    snapshots = [each.run.snapshot(each.step, threshold=threshold) for each in series]
    phase = phase_of(phase, observed_last(series, snapshots), where=_WHERE)
    drawn = []
    for each, snapshot in zip(series, snapshots, strict=True):
        run = each.run
        numbers = run.statistic(statistic, phase=phase, threshold=threshold, steps=[each.step])[0]
        of_layer = dict(zip(run.layers, numbers.tolist(), strict=True))
        drawn.append(_read(snapshot, of_layer, layers, each.style, each.label, phase, statistic))
    run_name, step = shared_title(series)
    with_threshold = statistic in {"saturation", "intrinsic_dimension"}
    on.title(run_name, step, phase, threshold_words(runs, threshold) if with_threshold else "")
    return _draw(on, drawn, snapshots, layers, phase=phase, statistic=statistic, probes=fitted)


def draw_snapshot(snapshot: Snapshot, *, phase: str, theme: str | None = None) -> Axes:
    """Draw the saturation of the layers of one snapshot, as `Plots.layers` draws a run.

    Args:
        snapshot: What was measured.
        phase: `train` or `eval`.
        theme: `light` or `dark`; None for light.

    Returns:
        The axes.
    """
    readings = snapshot.phase(phase)
    layers = list(readings)
    on = _canvas(layers, ax=None, theme=theme)
    values = {name: reading.saturation for name, reading in readings.items()}
    (style,) = styles(on.look, 1)
    drawn = _read(snapshot, values, layers, style, "", phase, "saturation")
    thresholds = {reading.threshold for reading in readings.values()}
    shares = ", ".join(f"threshold {each:g}" for each in thresholds)
    on.title(f"step {snapshot.step}", phase, shares)
    return _draw(on, [drawn], [snapshot], layers, phase=phase, statistic="saturation")


def _canvas(layers: Sequence[str], *, ax: Axes | None, theme: str | None) -> Canvas:
    tall = 3.6 + min(label_height(layers), 2.2)
    size = (min(max(0.15 * len(layers) + 3.4, 8.4), 14), tall)
    return canvas(ax, theme=theme, size=size, where=_WHERE)


def _draw(
    on: Canvas,
    drawn: Sequence[_Drawn],
    snapshots: Sequence[Snapshot],
    layers: Sequence[str],
    *,
    phase: str,
    statistic: str,
    probes: Probes | None = None,
) -> Axes:
    axes = on.axes[0]
    for each in drawn:
        _line(axes, each, on.look)
    _scale(axes, statistic)
    if not any(each.known.any() for each in drawn):
        seen = any(snapshot.phase(phase) for snapshot in snapshots)
        words = f"{QUANTITIES[statistic].none} was read" if seen else "No layer was observed"
        message(axes, on.look, f"{words} in the {phase} phase")
    uncounted = _uncounted(snapshots, layers, phase) if statistic == "saturation" else []
    for place in uncounted:
        axes.axvspan(place - 0.5, place + 0.5, color=on.look.line, alpha=0.35, lw=0, zorder=0)
    outputs = {layers.index(each.output_layer) for each in snapshots if each.output_layer in layers}
    aside = "output layer, not in the average" if outputs >= {*uncounted} else "not in the average"
    never = {name for each in snapshots for name in each.unobserved if name not in layers}
    accuracies = draw_probes(on, probes, layers, statistic) if probes else []
    _legend(on, drawn, accuracies, aside=aside if uncounted else "", never=len(never))
    on.settle()
    name_layers(axes.xaxis, layers)
    return axes


def _read(
    snapshot: Snapshot,
    of_layer: Mapping[str, float],
    layers: Sequence[str],
    style: Style,
    label: str,
    phase: str,
    statistic: str,
) -> _Drawn:
    readings = snapshot.phase(phase)
    values = np.array([of_layer.get(name, np.nan) for name in layers], dtype=np.float64)
    values[~QUANTITIES[statistic].shows(values)] = np.nan
    return _Drawn(
        style,
        label,
        values,
        _bounds(readings, layers, statistic),
        np.array([readings[name].status if name in readings else "" for name in layers]),
        snapshot.average_saturation(phase) if statistic == "saturation" else np.nan,
    )


def _bounds(readings: Readings, layers: Sequence[str], statistic: str) -> NDArray[np.float64]:
    """Return what the statistic is at least, where a sketch does not tell it."""
    bounds = np.full(len(layers), np.nan)
    for place, name in enumerate(layers):
        reading = readings.get(name)
        if reading is not None and np.isnan(reading.intrinsic_dimension):
            bounds[place] = {
                "saturation": reading.at_least / reading.width,
                "intrinsic_dimension": reading.at_least,
            }.get(statistic, np.nan)
    return bounds


def _line(axes: Axes, drawn: _Drawn, look: Look) -> None:
    style, places = drawn.style, np.arange(len(drawn.values))
    size = 5.0 if len(places) <= 80 else 2.6
    common: dict[str, Any] = {"color": style.colour, "markersize": size}
    axes.plot(places, drawn.values, linestyle=style.dashes, linewidth=1.3, color=style.colour)
    for faces, statuses in _MARKS:
        chosen = np.isin(drawn.status, statuses) & np.isfinite(drawn.values)
        if chosen.any():
            marker = "x" if faces == "cross" else style.marker
            face = look.background if faces == "hollow" else style.colour
            axes.plot(
                places[chosen],
                drawn.values[chosen],
                linestyle="none",
                marker=marker,
                markerfacecolor=face,
                **common,
            )
    known = np.isfinite(drawn.bounds)
    if known.any():
        axes.plot(
            places[known],
            drawn.bounds[known],
            linestyle="none",
            marker="$↑$",
            **common | {"markersize": size + 4},
        )
    if np.isfinite(drawn.average):
        axes.axhline(drawn.average, color=style.colour, linestyle=":", linewidth=1.2)


_MARKS = (("full", ("settled", "settling")), ("hollow", ("provisional",)), ("cross", ("coarse",)))


def _scale(axes: Axes, statistic: str) -> None:
    quantity = QUANTITIES[statistic]
    axes.set_ylabel(quantity.label)
    if quantity.scale == "share":
        axes.set_ylim(-0.02, 1.02)
    elif quantity.scale == "log":
        axes.set_yscale("log", nonpositive="mask")
    elif statistic not in {"log_determinant", "power_law_exponent"}:
        axes.set_ylim(bottom=0)


def _uncounted(snapshots: Sequence[Snapshot], layers: Sequence[str], phase: str) -> list[int]:
    """Return the places of layers that no average counts."""
    counted = {
        name
        for snapshot in snapshots
        for name, reading in snapshot.phase(phase).items()
        if reading.layer.kind in AVERAGED_KINDS and name != snapshot.output_layer
    }
    seen = {name for snapshot in snapshots for name in snapshot.phase(phase)}
    return [place for place, name in enumerate(layers) if name in seen - counted]


def _legend(
    on: Canvas,
    drawn: Sequence[_Drawn],
    accuracies: Sequence[tuple[Any, str]],
    *,
    aside: str,
    never: int,
) -> None:
    ink = on.look.faint
    entries: list[tuple[Any, str]] = [*accuracies]
    for each in drawn:
        style = each.style
        if each.label:
            line = Line2D(
                [], [], color=style.colour, linestyle=style.dashes, marker=style.marker, ms=5
            )
            average = f" (average {each.average:.3f})" if np.isfinite(each.average) else ""
            entries.append((line, each.label + average))
        elif np.isfinite(each.average):
            line = Line2D([], [], color=style.colour, linestyle=":")
            entries.append((line, f"average {each.average:.3f}"))
    statuses = set(np.concatenate([each.status for each in drawn]).tolist())
    if aside:
        entries.append((Patch(color=on.look.line, alpha=0.35), aside))
    for status, words, marker, face in (
        ("provisional", "provisional: too low", "o", on.look.background),
        ("coarse", "coarse: too high", "x", ink),
    ):
        if status in statuses:
            handle = Line2D([], [], color=ink, linestyle="none", marker=marker, ms=5)
            handle.set_markerfacecolor(face)
            entries.append((handle, words))
    if any(np.isfinite(each.bounds).any() for each in drawn):
        handle = Line2D([], [], color=ink, linestyle="none", marker="$↑$", ms=8)
        entries.append((handle, "at least (sketched)"))
    nothing = Line2D([], [], linestyle="none")
    if not all(each.known.all() for each in drawn):
        entries.append((nothing, "gap: no value"))
    if never:
        entries.append((nothing, f"{never} more never observed"))
    place = on.beside
    if len(figure_of(on.axes[0]).axes) > 1 and on.own:
        # Behind the names of an axis to the right.
        place["bbox_to_anchor"] = (1.1, 1.0)
    legend(on.axes[0], on.look, entries, **place)
