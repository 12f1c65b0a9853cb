"""A grid of panels, one a network: rows are widths, columns models or problems."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fathom.experiments.figures.groups import Page, by_width
from fathom.experiments.figures.numbers import last, level, metric, pattern_places, spread
from fathom.experiments.figures.sheet import Entry, Sheet, sheet
from fathom.experiments.outcome import Outcome
from fathom.views.look import WORDS
from fathom.views.plots.canvas import FONT
from fathom.views.plots.names import plain, short_names
from fathom.views.plots.ticks import label_height

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
    upright = 0.0
    for place, ((head, _), own) in enumerate(zip(page.columns, names, strict=True)):
        on.head(place, head, above=above)
        axes = on.grid[-1][place]
        axes.set_xlim(0.4, len(own) + 0.6)
        axes.set_xlabel(WORDS["layer"])
        if on.column_points / len(own) >= _NAME:
            labels = [plain(name) for name in short_names(own)[0]]
            axes.set_xticks(np.arange(1, len(own) + 1), labels, rotation=90, fontsize=FONT - 1)
            upright = max(upright, label_height(own))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    on.figure.set_figheight(on.figure.get_figheight() + upright)
    for row, width in zip(on.grid, widths, strict=True):
        row[0].set_ylabel(page.family.width_words(width))
    return on


def networks(on: Sheet, page: Page) -> Iterator[tuple[Axes, list[Outcome]]]:
    """Go through the panels of a sheet.

    Args:
        on: As `network_sheet` made it.
        page: Of the sheet.

    Yields:
        Axes, and the repetitions of the network that they are of. Axes without a network are
        hidden, unless they are the ones that name the layers.
    """
    widths = list(by_width(page.outcomes))
    for place, (_, column) in enumerate(page.columns):
        own = by_width(column)
        for row, width in zip(on.grid, widths, strict=True):
            if width in own:
                yield row[place], own[width]
            else:
                row[place].text(
                    0.5, 0.5, "not trained", transform=row[place].transAxes, **_inside(on)
                )


def numbers_above(on: Sheet, axes: Axes, page: Page, own: Sequence[Outcome]) -> None:
    """Write the saturation and the accuracy of a network over its panel.

    Args:
        on: The sheet.
        axes: Of the panel.
        page: Of the sheet.
        own: The repetitions of the network.
    """
    words = []
    for name, values in (
        (page.family.focus or "average", [last(level(each)) for each in own]),
        ("accuracy", [last(metric(each, "test_accuracy")) for each in own]),
    ):
        mean = float(spread(np.array(values))[0])
        if np.isfinite(mean):
            words.append(f"{name} {mean:.2f}")
    axes.set_title(
        plain(" · ".join(words)), loc="right", fontsize=FONT - 1, color=on.look.faint, pad=3
    )


def shade_output(on: Sheet, axes: Axes, own: Sequence[Outcome]) -> list[Entry]:
    """Shade the output layer of a network, which no average counts.

    Args:
        on: The sheet.
        axes: Of the panel.
        own: The repetitions of the network.

    Returns:
        The entry of the legend.
    """
    place = len(pattern_places(own[0]))
    style: dict[str, Any] = {"color": on.look.line, "alpha": 0.4, "linewidth": 0}
    axes.axvspan(place - 0.5, place + 0.5, zorder=0, **style)
    return [(Patch(**style), "output layer, not in the average")]


def left_out(page: Page) -> str:
    """Say which layers are not shown; "" where all are."""
    some = any(len(pattern_places(each)) < len(each.layers) for each in page.outcomes)
    return ", without the convolutions of shortcuts" if some else ""


def _inside(on: Sheet) -> dict[str, Any]:
    return {"ha": "center", "va": "center", "color": on.look.faint, "fontsize": FONT}


def _longest(outcomes: Sequence[Outcome]) -> list[str]:
    deepest = max(outcomes, key=lambda each: len(pattern_places(each)))
    return [deepest.layers[place] for place in pattern_places(deepest)]
