"""What a figure is drawn on: axes in rows and columns, a title over them, one legend below."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fathom.experiments.figures.groups import data_words, model_of, repetition_words
from fathom.experiments.figures.numbers import spread, stacked
from fathom.experiments.outcome import Numbers, Outcome
from fathom.experiments.problems import grouped
from fathom.views.look import LIGHT, Look
from fathom.views.plots.canvas import FONT, ShownFigure, canvas, legend
from fathom.views.plots.names import plain

Drawing = tuple[str, Callable[[], ShownFigure]]
"""The stem of a file, and what draws its figure."""

Entry = tuple[Any, str]
"""An artist of a legend, and what it means."""

MEAN_AND_RANGE = "their mean and range"
"""How repetitions are drawn, as a line or bars with a band or whiskers."""

WIDTH = 8.4
"""Inches, of a figure that fills a page of the documentation."""

_NARROW = 6.0
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
# Of the font's size, what a character takes.
_CHARACTER = 0.52
# Characters that a legend's artist and the gaps beside it take.
_BESIDE = 10


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure that is being drawn.

    Attributes:
        figure: The figure.
        grid: Its axes, by row and column.
        look: Their colours.
        height: Of a row, in inches.
    """

    figure: ShownFigure
    grid: list[list[Axes]]
    look: Look
    height: float

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
        self.grid[0][column].set_title(
            "\n".join([_in_lines(text, self.column_points), *[" "] * above]),
            loc="left",
            fontsize=FONT + 0.5,
            color=self.look.text,
        )

    def left(self, text: str) -> None:
        """Write beside all rows what their y axes show."""
        # Half-way up the figure, whose title keeps an inch; names of layers below give room too.
        room = 72 * max(0.9 * len(self.grid) * self.height, self.figure.get_figheight() - 2)
        lines = "\n".join(_in_lines(line, room) for line in text.split("\n"))
        self.figure.supylabel(lines, ma="center", fontsize=FONT + 0.5, color=self.look.text)

    def label(self, row: int, text: str) -> None:
        """Write beside a row what its y axes show, in as many lines as its height asks for."""
        axes = self.grid[row][0]
        axes.set_ylabel(_in_lines(text, 0.9 * self.height * 72))

    def below(self, column: int, text: str) -> None:
        """Write below a column what its x axes show."""
        self.grid[-1][column].set_xlabel(_in_lines(text, self.column_points))

    def share(self, row: int) -> None:
        """Let the axes of a row show all of [0, 1]."""
        for each in self.grid[row]:
            each.set_ylim(-0.02, 1.02)

    def finish(
        self,
        subject: str,
        outcomes: Sequence[Outcome],
        *,
        title: str,
        entries: Sequence[Entry],
        shown: str = "",
    ) -> ShownFigure:
        """Write the title and the legend.

        Args:
            subject: What is drawn.
            outcomes: The trainings that it is drawn from.
            title: Of the experiment; "" for none.
            entries: Of the legend.
            shown: What of several repetitions is drawn; "" for each on its own.

        Returns:
            The figure, whose axes have taken the room that is left.
        """
        points = self.figure.get_figwidth() * 72
        repetitions = repetition_words(outcomes)
        if shown and repetitions != "1 repetition":
            repetitions += f": {shown}"
        models = grouped(outcomes, model_of)
        # More than one are told apart where they are drawn.
        only = list(models) if len(models) == 1 else []
        facts = " · ".join([data_words(outcomes), *only, repetitions])
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
            longest = max(len(words) for _, words in entries) + _BESIDE
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
    return Sheet(figure, grid.tolist(), on.look, height)


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


def epoch_axis(on: Sheet, column: int, epochs: int) -> None:
    """Number epochs along the x axes of a column, from 1."""
    on.below(column, "epoch")
    axes = on.grid[-1][column]
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(
        MaxNLocator(integer=True, steps=[1, 2, 5, 10], nbins=max(2, int(on.column_points / 22)))
    )


def _in_lines(text: str, points: float) -> str:
    """Break text where it has no room, before a unit in brackets if there is one."""
    fit = max(8, int(points / (FONT + 0.5) / _CHARACTER))
    parts = [text] if len(text) <= fit else re.split(r" (?=\()", text)
    return "\n".join(plain(line) for part in parts for line in textwrap.wrap(part, fit))
