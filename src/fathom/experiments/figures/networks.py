"""A grid of panels, one a network: rows are widths, columns models or problems."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fathom.experiments.curves import by_layer, curve, in_sequence, last, metric
from fathom.experiments.figures.groups import Page, by_width
from fathom.experiments.figures.numbers import spread
from fathom.experiments.figures.sheet import Entry, Sheet, sheet
from fathom.experiments.outcome import Outcome
from fathom.views.look import WORDS
from fathom.views.plots.canvas import FONT, message
from fathom.views.plots.names import plain, short_names
from fathom.views.plots.ticks import label_height

# Columns, for which words are short.
_MANY = 5
# Points from one upright name to the next.
_NAME = 1.2 * (FONT - 1)


def network_sheet(page: Page, *, height: float, above: int = 0) -> Sheet:
    """Make a sheet with a row a width.

    Args:
        page: What its panels are of.
        height: Of a row, in inches.
        above: Lines that each panel has over it.

    Returns:
        The sheet, with the heads of its columns and rows, and the layers along its x axes: their
        names where all have room, else their places.
    """
    widths = by_width(page.outcomes)
    on = sheet(len(widths), len(page.columns), height=height)
    names = [_longest(column) for _, column in page.columns]
    rooms = [on.column_points / len(own) for own in names]
    lengths = [72 * label_height(own) for own in names]
    flat = all(length + FONT <= room for length, room in zip(lengths, rooms, strict=True))
    upright = not flat and min(rooms) >= _NAME
    for place, ((head, _), own) in enumerate(zip(page.columns, names, strict=True)):
        on.head(place, head, above=above)
        axes = on.grid[-1][place]
        axes.set_xlim(0.4, len(own) + 0.6)
        on.below(place, WORDS["layer"])
        if upright or flat:
            labels = [plain(name) for name in short_names(own)[0]]
            axes.set_xticks(
                np.arange(1, len(own) + 1), labels, rotation=0 if flat else 90, fontsize=FONT - 1
            )
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if upright:
        on.figure.set_figheight(on.figure.get_figheight() + max(lengths) / 72)
    for row, width in zip(on.grid, widths, strict=True):
        row[0].set_ylabel(page.family.width_words(width))
    return on


def networks(on: Sheet, page: Page) -> Iterator[tuple[Axes, list[Outcome]]]:
    """Go through the panels of a sheet.

    Args:
        on: As `network_sheet` made it.
        page: Of the sheet.

    Yields:
        Axes, and the repetitions of the network that they are of. Axes without a network say
        so.
    """
    widths = list(by_width(page.outcomes))
    for place, (_, column) in enumerate(page.columns):
        own = by_width(column)
        for row, width in zip(on.grid, widths, strict=True):
            if width in own:
                yield row[place], own[width]
            else:
                message(row[place], on.look, "not trained")


def numbers_above(on: Sheet, axes: Axes, page: Page, own: Sequence[Outcome]) -> None:
    """Write the saturation and the accuracy of a network over its panel.

    Args:
        on: The sheet.
        axes: Of the panel.
        page: Of the sheet.
        own: The repetitions of the network.
    """
    words = []
    names = ("average", "accuracy") if len(page.columns) < _MANY else ("avg", "acc")
    for name, values in (
        (page.family.focus or names[0], [last(curve(each)) for each in own]),
        (names[1], [last(metric(each, "test_accuracy")) for each in own]),
    ):
        mean = float(spread(np.array(values))[0])
        if np.isfinite(mean):
            words.append(f"{name} {mean:.2f}")
    if not any(np.isfinite(by_layer(each)[-1]).any() for each in own):
        message(axes, on.look, "no numbers")
    axes.set_title(
        plain(" · ".join(words)), loc="right", fontsize=FONT - 1, color=on.look.faint, pad=3
    )


def shade_output(on: Sheet, axes: Axes, page: Page, own: Sequence[Outcome]) -> list[Entry]:
    """Shade the output layer of a network, which no average counts.

    Args:
        on: The sheet.
        axes: Of the panel.
        page: Of the sheet.
        own: The repetitions of the network.

    Returns:
        The entry of the legend.
    """
    place = len(in_sequence(own[0]))
    style: dict[str, Any] = {"color": on.look.line, "alpha": 0.4, "linewidth": 0}
    axes.axvspan(place - 0.5, place + 0.5, zorder=0, **style)
    words = "output layer" if page.family.focus else "output layer, not in the average"
    return [(Patch(**style), words)]


def left_out(page: Page) -> str:
    """Return which layers are not shown, in words; "" where all are."""
    some = any(len(in_sequence(each)) < len(each.layers) for each in page.outcomes)
    return ", without shortcut convolutions" if some else ""


def _longest(outcomes: Sequence[Outcome]) -> list[str]:
    deepest = max(outcomes, key=lambda each: len(in_sequence(each)))
    return [deepest.layers[place] for place in in_sequence(deepest)]
