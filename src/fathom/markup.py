"""A table with bars as HTML, for notebooks: no script, no class, every name only as text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Blue with half its strength: the text over it stays readable on white and on black.
_BAR = "rgba(0,114,178,.45)"
_TEXT = "text-align:left;padding:.15em .7em"
_NUMBER = "text-align:right;padding:.15em .7em;font-variant-numeric:tabular-nums"


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
        return f"{_TEXT};min-width:10em;background:{bar} no-repeat"


class Number(str):
    """A cell that holds a number as text, and stands to the right."""

    __slots__ = ()


Cell = str | Bar


def html_table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str, notes: Sequence[str] = ()
) -> str:
    """Write a table as HTML.

    Args:
        head: The names of the columns.
        rows: Their cells.
        title: Stands above.
        notes: Lines that stand below.

    Returns:
        One element, which needs nothing from outside.
    """
    lines = [f'<div style="overflow-x:auto;margin:.5em 0"><div><b>{escape(title)}</b></div>']
    if rows:
        heads = "".join(
            f'<th scope="col" style="{_style(cell)}">{escape(name)}</th>'
            for name, cell in zip(head, rows[0], strict=True)
        )
        lines.append(f"<table><thead><tr>{heads}</tr></thead><tbody>")
        lines += [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows]
        lines.append("</tbody></table>")
    lines += [f"<div>{escape(note)}</div>" for note in notes]
    return "".join([*lines, "</div>"])


def _style(cell: Cell) -> str:
    return _NUMBER if isinstance(cell, Number) else _TEXT


def _cell(cell: Cell) -> str:
    style, text = (cell.style(), cell.text) if isinstance(cell, Bar) else (_style(cell), str(cell))
    return f'<td style="{style}">{escape(text)}</td>'
