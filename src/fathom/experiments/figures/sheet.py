"""What a figure is drawn on: axes in rows and columns, a title over them, one legend below."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fathom.experiments.figures.groups import (
    Family,
    by_width,
    data_words,
    repetition_words,
    width_text,
)
from fathom.experiments.figures.numbers import spread, stacked
from fathom.experiments.outcome import Numbers, Outcome
from fathom.views.look import LIGHT, Look
from fathom.views.plots.canvas import FONT, ShownFigure, canvas, legend
from fathom.views.plots.names import plain
from fathom.views.plots.ticks import step_ticks

Drawing = tuple[str, Callable[[], ShownFigure]]
"""The stem of a file, and what draws its figure."""

Entry = tuple[Any, str]
"""An artist of a legend, and what it means."""

WIDTH = 8.4
"""Inches, of a figure that fills a page of the documentation."""

_NARROW = 5.2
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
# Of the figure's points: what a character of the title and of the legend takes.
_CHARACTER = 0.52


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure that is being drawn.

    Attributes:
        figure: The figure.
        grid: Its axes, by row and column.
        look: Their colours.
    """

    figure: ShownFigure
    grid: list[list[Axes]]
    look: Look

    @property
    def axes(self) -> list[Axes]:
        """All axes, in reading order."""
        return [each for row in self.grid for each in row]

    @property
    def column_points(self) -> float:
        """How wide a column is, about, in points."""
        return 0.84 * self.figure.get_figwidth() * 72 / len(self.grid[0])

    def head(self, column: int, text: str, *, above: int = 0) -> None:
        """Write over a column what it is of.

        Args:
            column: Its place.
            text: What its panels have in common.
            above: Lines that are left free between the words and the axes.
        """
        size = FONT + 0.5
        lines = textwrap.wrap(text, max(8, int(self.column_points / size / _CHARACTER)))
        self.grid[0][column].set_title(
            "\n".join([*map(plain, lines), *[" "] * above]),
            loc="left",
            fontsize=size,
            color=self.look.text,
        )

    def left(self, text: str) -> None:
        """Write beside all rows what their y axes show."""
        self.figure.supylabel(text, fontsize=FONT + 0.5, color=self.look.text)

    def share(self, row: int) -> None:
        """Let the axes of a row show all of [0, 1]."""
        for each in self.grid[row]:
            each.set_ylim(-0.02, 1.02)

    def finish(
        self, subject: str, outcomes: Sequence[Outcome], *, title: str, entries: Sequence[Entry]
    ) -> ShownFigure:
        """Write the title and the legend.

        Args:
            subject: What is drawn.
            outcomes: The trainings that it is drawn from.
            title: Of the experiment; "" for none.
            entries: Of the legend.

        Returns:
            The figure, whose axes have taken the room that is left.
        """
        points = self.figure.get_figwidth() * 72
        facts = f"{data_words(outcomes)} · {repetition_words(outcomes)}"
        lines = [
            line
            for text in (subject, facts, title)
            for line in textwrap.wrap(text, int(points / (FONT + 1) / _CHARACTER))
        ]
        self.figure.suptitle(
            "\n".join(map(plain, lines)),
            x=0.012,
            ha="left",
            fontsize=FONT + 1,
            color=self.look.text,
        )
        if entries:
            longest = max(len(words) for _, words in entries) + 5
            fit = max(1, int(points / (FONT * _CHARACTER * longest)))
            place = {"loc": "outside lower center", "ncols": min(fit, len(entries))}
            legend(self.figure, self.look, entries, **place)
        if engine := self.figure.get_layout_engine():
            engine.execute(self.figure)
        return self.figure


def sheet(rows: int, columns: int, *, height: float, width: float | None = None) -> Sheet:
    """Make a figure whose rows share their y axes, and whose columns their x axes.

    Args:
        rows: Axes above each other.
        columns: Axes beside each other.
        height: Of one row, in inches.
        width: Of the figure, in inches; None for what so many columns need.

    Returns:
        The sheet, in the colours of the light theme.
    """
    size = (width or (WIDTH if columns > 1 else _NARROW), 1.1 + height * rows)
    figure = ShownFigure(figsize=size, layout="constrained", facecolor=LIGHT.background)
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row", sharex="col")
    on = canvas(
        grid.ravel().tolist(),
        theme="light",
        size=size,
        rows=rows,
        columns=columns,
        where="figures",
    )
    return Sheet(figure, grid.tolist(), on.look)


def colours(count: int, look: Look) -> list[str]:
    """Return colours that are told apart by every colour vision.

    Args:
        count: How many.
        look: Of the theme, whose own come first where they are enough.

    Returns:
        Hexadecimal.
    """
    return list(look.series[:count]) if count <= len(look.series) else shades(count)


def shades(count: int) -> list[str]:
    """Return colours from dark to light, for what has an order: widths and epochs.

    Args:
        count: How many.

    Returns:
        Hexadecimal; the lightest still stands out from white.
    """
    return [to_hex(colormaps["viridis"](share)) for share in np.linspace(0.0, 0.82, count)]


def marker(place: int) -> str:
    """Return the marker of the first, second and so on; they come again after twelve."""
    return _MARKERS[place % len(_MARKERS)]


def sample(colour: str, *, marker: str = "", line: bool = True) -> Line2D:
    """Return what stands in a legend for a line or for dots."""
    return Line2D(
        [], [], color=colour, marker=marker or "none", ms=5, linestyle="-" if line else "none"
    )


def band(
    axes: Axes,
    rows: Sequence[Numbers],
    *,
    colour: str,
    marker: str,
    places: Sequence[float] | None = None,
) -> None:
    """Draw the mean of repetitions as a line, and the range of them behind it.

    Args:
        axes: Where.
        rows: A repetition each.
        colour: Of both.
        marker: Of the line.
        places: Of the numbers along the x axis; None for 1, 2 and so on.
    """
    means, low, high = spread(stacked(rows))
    x = np.arange(1, len(means) + 1) if places is None else places
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, means, color=colour, marker=marker, markersize=3.2, linewidth=1.3)


def epoch_axis(axes: Axes, epochs: int) -> None:
    """Number epochs along the x axis, from 1."""
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(step_ticks(range(1, epochs + 1)))


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


def width_axis(axes: Axes, widths: Sequence[float], label: str) -> None:
    """Show widths along the x axis, each as far from its double.

    Args:
        axes: Whose x axis it is.
        widths: From narrow to wide.
        label: What a width is.
    """
    axes.set_xscale("log", base=2)
    axes.set_xlim(widths[0] / 1.4, widths[-1] * 1.4)
    axes.xaxis.set_major_locator(FixedLocator(list(widths[:: -(-len(widths) // 7)])))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: width_text(place)))
    axes.set_xlabel(label)
