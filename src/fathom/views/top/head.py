"""What stands above the layers: the run, its average and metrics."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from fathom.text import visible
from fathom.views.look import WORDS, Look
from fathom.views.sparkline import sparkline
from fathom.views.top.board import Board, changes_since_the_first
from fathom.views.top.columns import LEAST, change_text
from fathom.views.top.history import History
from fathom.views.top.watcher import Sight

_GAP = "   "
_WIDE = 60  # cells of a terminal that is not narrow
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def where(
    sight: Sight, board: Board | None, *, since: str, look: Look, now: float, width: int
) -> Text:
    """Say which run this is, how far it is, and whether it goes on.

    Args:
        sight: What the last look has found.
        board: The step that is shown; None where there is none.
        since: When this run took the place of another; empty where it did not.
        look: The colours.
        now: In seconds since 1970.
        width: Of the terminal.

    Returns:
        Lines of at most so many cells; none where there is no run.
    """
    if sight.history is None:
        return Text()
    parts = [*_where(sight, sight.history, board, look, now, width)]
    if since:
        parts.append(Text(f"another run since {since}", look.status["provisional"]))
    return Text("\n").join(flowed(parts, width))


def head(board: Board, *, look: Look, width: int) -> Text:
    """Say how the run does: its average saturation, findings, and what the user measured.

    Args:
        board: The step that is shown.
        look: The colours.
        width: Of the terminal.

    Returns:
        Lines of at most so many cells.
    """
    lines = flowed([*_average(board, look, width)], width)
    return Text("\n").join([*lines, *_metrics(board, look, width)])


def metric_lines(board: Board, look: Look) -> list[Text]:
    """Return a line a metric: its value, and how it went.

    Args:
        board: The step that is shown.
        look: The colours.
    """
    here = board.history.moments[board.place].metrics
    lines = []
    for name, values in board.history.metrics.items():
        value = f"{here[name]:.4g}" if name in here else "-"
        lines.append(Text.assemble(f"{visible(name)} ", (value, "bold")))
        if drawn := sparkline(values[: board.place + 1], 8).rstrip():
            lines[-1].append(" ").append(drawn, look.series[1])
    return lines


def flowed(parts: Sequence[Text], width: int) -> list[Text]:
    """Put parts beside each other, on as many lines as they need.

    Args:
        parts: None of them is broken, but one that is wider than a line is cut.
        width: Of a line, in cells.

    Returns:
        The lines.
    """
    lines: list[Text] = []
    for part in parts:
        part.truncate(width - 1, overflow="ellipsis")
        if lines and lines[-1].cell_len + len(_GAP) + part.cell_len < width:
            lines[-1] = Text.assemble(lines[-1], _GAP, part)
        else:
            lines.append(Text.assemble(" ", part) if part.cell_len < width else part)
    return lines


def ago(seconds: float) -> str:
    """Write how long ago something was.

    Args:
        seconds: Less than 0 where clocks differ.

    Returns:
        Such as `5 min ago`.
    """
    if not math.isfinite(seconds):
        return "at an unknown time"
    if seconds < _MINUTE:
        return f"{max(seconds, 0):.0f} s ago"
    for size, unit, most in ((_MINUTE, "min", _HOUR), (_HOUR, "h", 2 * _DAY)):
        if seconds < most:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds // _DAY:.0f} d ago"


def _where(
    sight: Sight, history: History, board: Board | None, look: Look, now: float, width: int
) -> Sequence[Text]:
    path = visible(str(history.path))
    most = min(width - 2, max(width // 2, 20))
    if cell_len(path) > most:
        path = "…" + path[-most + 1 :]
    parts = [Text(path, "bold")]
    if board is not None:
        parts.append(Text(f"step {board.step}"))
        if not board.is_newest:
            newest = history.moments[-1].step
            parts[-1].append(f" of {newest} (l: the newest)", look.status["provisional"])
        parts.append(Text(board.phase))
    state = Text("live", f"bold {look.status['settled']}") if sight.live else Text("not live")
    if history.moments:
        state.append(f", last step {ago(now - _time(history))}")
    return [*parts, state]


def _time(history: History) -> float:
    time = history.moments[-1].time
    return float(time) if isinstance(time, int | float) else math.nan


def _average(board: Board, look: Look, width: int) -> Sequence[Text]:
    average = board.average
    known = np.isfinite(average)
    text = Text(f"{WORDS['average']} ")
    text.append(f"{average[-1]:.3f}" if known[-1] else "-", "bold")
    change = float(changes_since_the_first(average[:, None])[0])
    if math.isfinite(change):
        text.append(f" {change_text(change)} ")
        text.append(sparkline(average, 8 if width >= _WIDE else 4, least=LEAST), look.series[0])
    parts = [text]
    if math.isfinite(board.history.threshold) and width >= _WIDE:
        parts.append(Text(f"threshold {board.history.threshold:.6g}"))
    kinds: Counter[str] = Counter()
    for each in board.history.phases[board.phase].findings if board.seen else ():
        kinds[each.kind] += len(each.layers)
    del kinds["average"]
    if kinds and board.is_newest:
        words = ", ".join(f"{count or 1} {kind}" for kind, count in kinds.items())
        parts.append(Text.assemble((words, look.status["provisional"]), " (f)"))
    return parts


def _metrics(board: Board, look: Look, width: int) -> list[Text]:
    """Return as many metrics as one line holds, on narrow terminals two, and how many are left."""
    parts = metric_lines(board, look)
    most = 1 if width >= _WIDE else 2
    for count in range(min(len(parts), width // 8), 0, -1):
        left = len(parts) - count
        lines = flowed([*parts[:count], *([Text(f"+{left} (m)")] if left else [])], width)
        if len(lines) <= most or count == 1:
            return lines
    return []
