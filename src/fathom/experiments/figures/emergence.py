"""How early the last pattern of saturation is there (EP; SA Fig. 11)."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from fathom.experiments.curves import ALIKE, LEAST_LAYERS, by_layer, likeness, pattern
from fathom.experiments.figures.groups import Page, by_width, pages
from fathom.experiments.figures.networks import left_out
from fathom.experiments.figures.sheet import MEAN_AND_RANGE, Drawing, Entry, band, epoch_axis, sheet
from fathom.experiments.figures.widths import width_colours, width_entries
from fathom.experiments.outcome import Outcome
from fathom.views.plots.canvas import ShownFigure


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: where a training has two epochs, and layers enough.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        A figure a page.
    """
    long = [each for each in outcomes if len(by_layer(each)) > 1]
    for page in pages([each for each in long if len(pattern(each)) >= LEAST_LAYERS]):
        yield page.stem("emergence"), partial(_draw, page, title)


def _draw(page: Page, title: str) -> ShownFigure:
    on = sheet(1, len(page.columns), height=2.7)
    colour_of = width_colours(page.outcomes)
    low = 0.0
    entries: list[Entry] = width_entries(page.family, colour_of)
    for place, (head, column) in enumerate(page.columns):
        on.head(place, head)
        axes = on.grid[0][place]
        line = axes.axhline(ALIKE, color=on.look.faint, linestyle="--", linewidth=1.0)
        for width, own in by_width(column).items():
            rows = [likeness(each) for each in own]
            low = min(low, *(float(np.fmin.reduce(row, initial=0.0)) for row in rows))
            colour, sign = colour_of[width]
            band(axes, rows, colour=colour, marker=sign)
        epoch_axis(on, place, max(len(by_layer(each)) for each in column))
    on.grid[0][0].set_ylim(low - 0.05, 1.05)
    on.label(0, "rank correlation with the last epoch's pattern (Spearman's ρ)")
    return on.finish(
        f"How early the last pattern of saturation over the layers is there, on test data"
        f"{left_out(page)}",
        page.outcomes,
        title=title,
        entries=[*entries, (line, f"ρ = {ALIKE:g}")],
        shown=MEAN_AND_RANGE,
    )
