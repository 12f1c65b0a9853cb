"""A table with bars as HTML, for notebooks: no script, no class, every name only as text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Blue with half its strength: the text over it stays readable on white and on black.
_BAR = "rgba(0,114,178,.45)"
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums"


@dataclass(frozen=True, slots=True)
class Bar:
    """A cell that holds a share.

    Attributes:
        share: In [0, 1]; nan draws nothing.
        text: What stands over it.
    """

    share: float
    text: str

    def style(self) -> str:
        """Return the style of its cell."""
        filled = 100 * min(max(self.share, 0.0), 1.0) if math.isfinite(self.share) else 0.0
        bar = f"linear-gradient(to right,{_BAR} {filled:.1f}%,transparent {filled:.1f}%)"
        return f"min-width:10em;text-align:left;background:{bar} no-repeat"


Cell = str | int | Bar


def html_table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str, notes: Sequence[str] = ()
) -> str:
    """Write a table as HTML.

    Args:
        head: The names of the columns.
        rows: Their cells: text goes to the left, whole numbers to the right.
        title: Stands above.
        notes: Lines that stand below.

    Returns:
        One element, which needs nothing from outside.
    """
    lines = [f'<div style="overflow-x:auto"><div><b>{escape(title)}</b></div>']
    if rows:
        heads = "".join(
            f'<th scope="col" style="text-align:{_side(column)}">{escape(name)}</th>'
            for name, column in zip(head, zip(*rows, strict=True), strict=True)
        )
        lines.append(f"<table><thead><tr>{heads}</tr></thead><tbody>")
        lines += [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows]
        lines.append("</tbody></table>")
    lines += [f"<div>{escape(note)}</div>" for note in notes]
    return "".join([*lines, "</div>"])


def _side(column: Sequence[Cell]) -> str:
    return "right" if isinstance(column[0], int) else "left"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Bar):
        return f'<td style="{cell.style()}">{escape(cell.text)}</td>'
    if isinstance(cell, int):
        return f'<td style="{_NUMBER}">{cell:,}</td>'
    return f'<td style="text-align:left">{escape(cell)}</td>'
