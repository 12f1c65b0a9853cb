"""Widths in colours, in legends and along an axis."""

from collections.abc import Sequence

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fathom.experiments.figures.groups import Family, by_width, width_text
from fathom.experiments.figures.sheet import Entry, Sheet, marker, sample, shades
from fathom.experiments.outcome import Outcome


def width_colours(outcomes: Sequence[Outcome]) -> dict[float, tuple[str, str]]:
    """Return the colour and the marker of each width, the narrowest first and darkest."""
    widths = list(by_width(outcomes))
    return {
        width: (colour, marker(place))
        for place, (width, colour) in enumerate(zip(widths, shades(len(widths)), strict=True))
    }


def width_entries(family: Family, colour_of: dict[float, tuple[str, str]]) -> list[Entry]:
    """Return the legend of widths.

    Args:
        family: That says what a width is.
        colour_of: Colour and marker of each.

    Returns:
        Its entries.
    """
    return [
        (sample(colour, marker=sign), family.width_words(width))
        for width, (colour, sign) in colour_of.items()
    ]


def width_axis(on: Sheet, column: int, widths: Sequence[float], label: str) -> None:
    """Show widths along the x axes of a column, each as far from its double.

    Args:
        on: The sheet.
        column: Of it.
        widths: From narrow to wide.
        label: What a width is.
    """
    axes = on.grid[-1][column]
    axes.set_xscale("log", base=2)
    axes.set_xlim(widths[0] / 1.4, widths[-1] * 1.4)
    axes.xaxis.set_major_locator(FixedLocator(list(widths[:: -(-len(widths) // 7)])))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: width_text(place)))
    on.below(column, label)
