"""Saturation and losses over the epochs of a training (SA Fig. 2b, 3, 4, 6, 7)."""

from collections.abc import Iterator, Sequence
from functools import partial

from fathom.experiments.curves import curve, metric
from fathom.experiments.figures.groups import Page, by_width, pages
from fathom.experiments.figures.sheet import MEAN_AND_RANGE, Drawing, band, epoch_axis, sheet
from fathom.experiments.figures.widths import width_colours, width_entries
from fathom.experiments.outcome import Outcome
from fathom.views.plots.canvas import ShownFigure


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: where a training has two epochs.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        A figure a page.
    """
    for page in pages([each for each in outcomes if len(curve(each)) > 1]):
        yield page.stem("training"), partial(_draw, page, title)


def _draw(page: Page, title: str) -> ShownFigure:
    on = sheet(3, len(page.columns), height=1.75)
    colour_of = width_colours(page.outcomes)
    for place, (head, column) in enumerate(page.columns):
        on.head(place, head)
        for width, own in by_width(column).items():
            colour, sign = colour_of[width]
            for row, rows in enumerate(
                (
                    [curve(each) for each in own],
                    [metric(each, "train_loss") for each in own],
                    [metric(each, "test_loss") for each in own],
                )
            ):
                band(on.grid[row][place], rows, colour=colour, marker=sign)
        epoch_axis(on, place, max(len(curve(each)) for each in column))
    on.share(0)
    on.label(0, page.family.level)
    for row, part in ((1, "train"), (2, "test")):
        on.label(row, f"{part} loss ({page.family.loss})")
        on.grid[row][0].set_ylim(bottom=0)
    return on.finish(
        "Saturation on test data, and losses, by epoch",
        page.outcomes,
        title=title,
        entries=width_entries(page.family, colour_of),
        shown=MEAN_AND_RANGE,
    )
