"""What stands below the layers, and in their place where there are none."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from fathom.text import visible
from fathom.views.look import Look
from fathom.views.top.board import Board, Row
from fathom.views.top.watcher import Sight

_GAP = "   "
_TROUBLE_LINES = 3


def chosen_line(row: Row, look: Look) -> Text:
    """Say of the layer under the cursor what narrow terminals have no column for.

    Args:
        row: The layer.
        look: The colours.

    Returns:
        One line.
    """
    return Text.assemble(
        f" {row.facts.kind}",
        _GAP,
        (row.status, look.status.get(row.status, look.faint)),
        _GAP,
        f"{row.rows_text} rows/width",
    )


def keys_line(width: int, *, filtered: str, look: Look) -> Text:
    """Name as many keys as there is room for.

    Args:
        width: Of the terminal.
        filtered: How many layers are left of how many; empty where all are.
        look: The colours.

    Returns:
        One line.
    """
    line = Text(" ")
    if filtered:
        line.append(f"{filtered} layers, esc: all", look.status["provisional"])
    for key, word in _KEYS:
        if line.cell_len + len(key) + len(word) + 4 < width:
            line.append("  " * (line.cell_len > 1))
            line.append(key, "bold")
            line.append(f" {word}", look.faint)
    return line


_KEYS = (
    ("?", "help"),
    ("q", "quit"),
    ("/", "filter"),
    ("s", "sort"),
    ("p", "phase"),
    ("f", "findings"),
    ("enter", "details"),
    ("←→", "step"),
)


def trouble_lines(trouble: str, *, look: Look, width: int) -> Text:
    """Write what of a run cannot be read, beside what can.

    Args:
        trouble: In words; empty where all is well.
        look: The colours.
        width: Of the terminal.

    Returns:
        A few lines; where that is not all, it says where the rest is.
    """
    if not trouble:
        return Text()
    text = Text(visible(trouble), look.status["coarse"])
    lines = text.wrap(Console(), max(width - 2, 1))
    more = [Text("… (f)")] if len(lines) > _TROUBLE_LINES else []
    return Text("\n").join([Text(" ") + line for line in [*lines[:_TROUBLE_LINES], *more]])


def why_empty(path: Path, sight: Sight | None, board: Board | None, *, words: str) -> str:
    """Say why there are no layers.

    Args:
        path: Of the run.
        sight: What the last look has found; None before the first.
        board: The step that is shown; None where there is none.
        words: By which the layers are filtered.

    Returns:
        A sentence or two.
    """
    name = visible(str(path))
    if sight is None:
        return f"opening {name} …"
    if board is not None:
        if not board.seen:
            return board.why_empty()
        return f"No layer has {visible(words)!r} in its name, kind or status."
    if sight.trouble:
        return f"{visible(sight.trouble)} It is tried again."
    if sight.history is not None:
        return f"{name} has no snapshot yet."
    return f"waiting for {name} … {visible(sight.near)}"
