"""Saturation by layer of every network (SA Fig. 1, 10, 15, 16)."""

from collections.abc import Iterator, Sequence
from functools import partial

from fathom.experiments.curves import by_layer
from fathom.experiments.figures.groups import Page, pages
from fathom.experiments.figures.networks import (
    left_out,
    network_sheet,
    networks,
    numbers_above,
    shade_output,
)
from fathom.experiments.figures.sheet import MEAN_AND_RANGE, Drawing, Entry, band, sample
from fathom.experiments.outcome import Outcome
from fathom.views.plots.canvas import ShownFigure


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: where there are layers.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        A figure a page.
    """
    for page in pages([each for each in outcomes if by_layer(each).size]):
        yield page.stem("layers"), partial(_draw, page, title)


def _draw(page: Page, title: str) -> ShownFigure:
    on = network_sheet(page, height=1.25, above=1)
    colour = on.look.series[0]
    entries: list[Entry] = [(sample(colour, marker="o"), "saturation")]
    aside: list[Entry] = []
    for axes, own in networks(on, page):
        aside = shade_output(on, axes, page, own)
        band(axes, [by_layer(each)[-1] for each in own], colour=colour, marker="o")
        numbers_above(on, axes, page, own)
    for row in range(len(on.grid)):
        on.share(row)
    on.left("saturation (share of the layer's width)")
    return on.finish(
        f"Saturation by layer after the last epoch, on test data{left_out(page)}",
        page.outcomes,
        title=title,
        entries=entries + aside,
        shown=MEAN_AND_RANGE,
    )
