"""Saturation and the accuracy of probes by layer (the figures of Delve; EP)."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from fathom.experiments.curves import by_layer, in_sequence
from fathom.experiments.figures.groups import Page, pages
from fathom.experiments.figures.networks import (
    left_out,
    network_sheet,
    networks,
    numbers_above,
)
from fathom.experiments.figures.numbers import spread, stacked
from fathom.experiments.figures.sheet import MEAN_AND_RANGE, Drawing, Entry, Sheet, band, sample
from fathom.experiments.outcome import Numbers, Outcome
from fathom.views.plots.canvas import ShownFigure


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: where there are probes.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        A figure a page.
    """
    for page in pages([each for each in outcomes if each.probes and by_layer(each).size]):
        yield page.stem("probes"), partial(_draw, page, title)


def _draw(page: Page, title: str) -> ShownFigure:
    on = network_sheet(page, height=1.9, above=1)
    for axes, own in networks(on, page):
        entries = _network(on, axes, own)
        numbers_above(on, axes, page, own)
    for row in range(len(on.grid)):
        on.share(row)
    on.left("saturation (share of the layer's width),\naccuracy (share of the pictures)")
    return on.finish(
        f"Saturation and the accuracy of probes by layer, after the last epoch, on test data"
        f"{left_out(page)}",
        page.outcomes,
        title=title,
        entries=entries,
        shown=MEAN_AND_RANGE,
    )


def _network(on: Sheet, axes: Axes, own: Sequence[Outcome]) -> list[Entry]:
    bars, accuracies, itself = on.look.series[0], on.look.series[1], on.look.series[2]
    means, low, high = spread(stacked([by_layer(each)[-1] for each in own]))
    places = np.arange(1, len(means) + 1)
    axes.bar(places, means, width=0.75, color=bars, alpha=0.55, linewidth=0)
    axes.vlines(places, low, high, color=bars, linewidth=1.2)
    band(axes, [_accuracies(each) for each in own], colour=accuracies, marker="s")
    entries: list[Entry] = [
        (Patch(color=bars, alpha=0.55, linewidth=0), "saturation"),
        (sample(accuracies, marker="s"), "accuracy of a probe"),
    ]
    model = float(spread(np.array([each.model_accuracy for each in own]))[0])
    if np.isfinite(model):
        line = axes.axhline(model, color=itself, linestyle="--", linewidth=1.3)
        entries.append((line, "accuracy of the network itself"))
    return entries


def _accuracies(outcome: Outcome) -> Numbers:
    names = [outcome.layers[place] for place in in_sequence(outcome)]
    return np.array([outcome.probes.get(name, np.nan) for name in names])
