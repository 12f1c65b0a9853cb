"""The columns of `fathom top`: which ones a terminal has room for, and a layer's line in them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from rich.cells import cell_len, chop_cells
from rich.text import Text

from fathom.listing import number_text
from fathom.views.look import Look
from fathom.views.sparkline import sparkline
from fathom.views.tables import bar
from fathom.views.top.board import UNREAD, Row

# A difference in saturation that is drawn as the whole height of a trend.
LEAST = 0.1

MARKS = {"provisional": "?", "coarse": "!"}
"""Stand behind a number that is not to be trusted, where there is no room for the word."""

_NAMES_SHARE = 3  # a third of the terminal is enough for names; longer ones are folded


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands in a line.

    Attributes:
        bar: Characters for the bar of 1.
        trend: Characters for the sparkline.
        name: Characters for the name.
        width: Whether the width is there.
        dimension: Whether the dimension is there.
        change: Whether the change is there.
        arrow: Whether it has an arrow.
        rows: Whether the rows per width are there.
        status: Whether the status is there, as a word.
    """

    bar: int
    trend: int
    name: int = 0
    width: bool = True
    dimension: bool = True
    change: bool = True
    arrow: bool = True
    rows: bool = True
    status: bool = True

    @property
    def rest(self) -> int:
        """The characters that all but the name take, with the gaps before them."""
        return sum(2 + size for size, _ in self._heads())

    def heads(self, *, sort: str, turned: bool) -> Text:
        """Return the names of the columns.

        Args:
            sort: By which the lines are sorted; that one is marked.
            turned: Whether the other way round.
        """
        first = " layer" if sort != "name" else f" layer {'↓' if turned else '↑'}"
        line = Text(first.ljust(1 + self.name), style="bold")
        for size, head in self._heads():
            marked = head.startswith(sort[:3]) and sort not in ("order", "name")
            text = head + ("↑" if turned else "↓") * marked
            gap = " " * (size - len(text))
            line.append("  " + gap * (head not in _TO_THE_LEFT))
            line.append(text, "underline" if marked else "")
            line.append(gap * (head in _TO_THE_LEFT))
        return line

    def lines(self, row: Row, look: Look) -> list[Text]:
        """Return the lines of a layer: one, or more where its name has to be folded.

        Args:
            row: The layer.
            look: The colours.
        """
        names = folded(row.label, self.name)
        first = Text(" " + names[0] + " " * (self.name - cell_len(names[0])))
        colour = look.status.get(row.status, look.faint)
        if self.width:
            first.append(f"  {number_text(row.width, '.0f'):>6}")
        if self.dimension:
            first.append(f"  {row.dimension_text:>6}")
        first.append(f"  {number_text(row.saturation, '.3f'):>5}")
        if not self.status:
            first.append(MARKS.get(row.status, " "), colour)
        if self.bar:
            share = min(max(row.saturation, 0.0), 1.0)
            first.append(f" {bar(share, self.bar):<{self.bar}}", look.series[0])
        if self.change:
            first.append(f"  {change_text(row.change, arrow=self.arrow):>{7 + self.arrow}}")
        if self.trend:
            drawn = sparkline(row.trend, self.trend, least=LEAST)
            first.append(f"  {drawn:<{self.trend}}", look.series[0])
        if self.rows:
            first.append(f"  {row.rows_text:>10}")
        if self.status:
            first.append(f"  {row.status:<11}", colour)
        if row.status == UNREAD:
            first.stylize(look.faint)
        return [first, *(Text(" " + rest) for rest in names[1:])]

    def _heads(self) -> list[tuple[int, str]]:
        saturation = "saturation" if self.bar >= 4 else "sat."
        heads = [
            (6, "width", self.width),
            (6, "dim.", self.dimension),
            (5 + (not self.status) + bool(self.bar) + self.bar, saturation, True),
            (7 + self.arrow, "change", self.change),
            (self.trend, "trend", bool(self.trend)),
            (10, "rows/width", self.rows),
            (11, "status", self.status),
        ]
        return [(size, head) for size, head, is_there in heads if is_there]


_TO_THE_LEFT = ("saturation", "trend", "status")

# From the widest on each has less than the one before; the last has what nobody can do without.
_LESS: tuple[dict[str, Any], ...] = (
    {"bar": 12, "trend": 12},
    {"rows": False},
    {"bar": 8, "trend": 8},
    {"trend": 0},
    {"bar": 0},
    {"width": False, "arrow": False},
    {"status": False},
    {"dimension": False},
    {"change": False},
)
_LAYOUTS = tuple(
    accumulate(
        _LESS, lambda columns, less: replace(columns, **less), initial=Columns(bar=20, trend=16)
    )
)


def columns_for(rows: Sequence[Row], width: int) -> Columns:
    """Return the columns that a terminal has room for.

    Args:
        rows: The layers, for the length of their names.
        width: Of the terminal, without its scroll bar.

    Returns:
        The first that leaves room for the names, or for a third of the terminal if they are longer.
    """
    longest = max((cell_len(row.label) for row in rows), default=0)
    wanted = max(min(longest, width // _NAMES_SHARE), len("layer ↑"))
    for columns in _LAYOUTS:
        room = width - 1 - columns.rest
        if room >= wanted:
            break
    return replace(columns, name=max(min(longest, room), len("layer ↑")))


def change_text(change: float, *, arrow: bool = True) -> str:
    """Write a change with its sign, and an arrow; a dash where there is none.

    Args:
        change: Of a number between 0 and 1.
        arrow: Whether with an arrow.

    Returns:
        Such as `▲ +0.033`.
    """
    if not math.isfinite(change):
        return "-"
    number = f"{change:+.3f}"
    if float(number) == 0:
        number = " 0.000"
    sign = "=" if float(number) == 0 else "▲" if change > 0 else "▼"
    return f"{sign} {number}" if arrow else number


def folded(label: str, width: int) -> Sequence[str]:
    """Break a name into lines, after a dot or underscore where there is one near a line's end.

    Args:
        label: The name, of printable characters.
        width: Of a line, in cells.

    Returns:
        One line or more.
    """
    lines = []
    while cell_len(label) > width:
        fits = max(len(chop_cells(label, width)[0]), 1)
        mark = max(label.rfind(each, fits * 2 // 3, fits) for each in "._")
        end = mark + 1 if mark > 0 else fits
        lines.append(label[:end])
        label = label[end:]
    return [*lines, label]
