"""The accuracy of probes over a statistic by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fathom.errors import ArgumentError, RunNotFoundError
from fathom.probes import Probes
from fathom.store.stored import StoredRun
from fathom.views.plots.canvas import FONT, Canvas
from fathom.views.plots.quantities import QUANTITIES
from fathom.views.probed import probed_steps, stored_probes


def step_and_probes(runs: Sequence[StoredRun], steps: Any, *, where: str) -> tuple[int, Probes]:
    """Return the step that is drawn with its probes.

    Args:
        runs: One.
        steps: One; None for the last recorded one that has probes.
        where: The function, for messages.

    Returns:
        The step and its probes.

    Raises:
        ArgumentError: If there are more runs or steps.
        RunNotFoundError: If the step has no probes.
    """
    some = [None] if steps is None else [steps] if isinstance(steps, int) else list(steps)
    if len(runs) != 1 or len(some) != 1:
        raise ArgumentError(
            f"{where}: probes must be of one run at one step, got {len(runs)} runs and "
            f"{len(some)} steps. Leave probes out, or draw each on axes of its own."
        )
    (run,), (step,) = runs, some
    if step is None:
        recorded = set(run.steps).intersection(probed_steps(run.path))
        step = max(recorded, default=None)
    probes = stored_probes(run.path, step, legacy=False)
    if probes.step is None or probes.step not in run.steps:
        raise RunNotFoundError(
            f"{where}: step must be recorded, got probes of step {probes.step} alone. Probe the "
            "model at a step of the run."
        )
    return probes.step, probes


def draw_probes(
    on: Canvas, probes: Probes, layers: Sequence[str], statistic: str
) -> list[tuple[Line2D, str]]:
    """Draw accuracies over a statistic: on its axis if that is of shares, else on one to the right.

    Args:
        on: What the statistic is drawn on.
        probes: Of the same step.
        layers: From left to right.
        statistic: What is drawn.

    Returns:
        The entries of the legend.
    """
    axes, colour = on.axes[0], on.look.series[1]
    shared = QUANTITIES[statistic].scale == "share"
    label = "accuracy (share of the samples)"
    if shared:
        axes.set_ylabel(f"{axes.get_ylabel()}\nand {label}")
    else:
        axes = _right(axes, on)
        axes.set_ylabel(label)
    own_line = Line2D([], [], color=on.look.series[0], marker="o", markersize=5, linewidth=1.3)
    entries: list[tuple[Line2D, str]] = [(own_line, QUANTITIES[statistic].name)]
    by_layer = {probe.layer: probe for probe in probes}
    places = np.arange(len(layers))
    for part, dashes, marker in (("eval", "-", "s"), ("train", "--", None)):
        values = [
            getattr(by_layer[name], f"{part}_accuracy") if name in by_layer else np.nan
            for name in layers
        ]
        (line,) = axes.plot(
            places,
            values,
            linestyle=dashes,
            marker=marker,
            markersize=4.5,
            linewidth=1.3,
            color=colour,
        )
        entries.append((line, f"probe, {part} accuracy"))
    if np.isfinite(probes.model_accuracy):
        own = axes.axhline(
            probes.model_accuracy, color=on.look.series[2], linestyle="-.", linewidth=1.2
        )
        entries.append((own, f"the model itself {probes.model_accuracy:.3f}"))
    return entries


def _right(axes: Axes, on: Canvas) -> Axes:
    right = axes.twinx()
    assert isinstance(right, Axes)
    right.set_ylim(-0.02, 1.02)
    right.tick_params(which="both", color=on.look.line, labelcolor=on.look.text, labelsize=FONT)
    right.yaxis.label.set_color(on.look.text)
    right.yaxis.label.set_fontsize(FONT + 0.5)
    for name, spine in right.spines.items():
        spine.set_visible(name == "right")
        spine.set_color(on.look.line)
    return right
