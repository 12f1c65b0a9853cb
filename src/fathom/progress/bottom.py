"""The bottom line of a terminal, kept free of what everybody else prints."""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

# As every terminal since the VT100 knows them.
_SAVE, _RESTORE, _DOWN, _UP, _CLEAR = "\x1b7", "\x1b8", "\x1bD", "\x1b[A", "\x1b[2K"
_SCROLL_ALL = "\x1b[r"
_LEAST_HEIGHT = 5

NAME = "fathom: "
"""Stands before the line, where there is room."""


class Bottom:
    """Takes the bottom line out of the part of a terminal that scrolls, while somebody shows there.

    Nothing is put between the training and its streams, so that progress bars, other threads, other
    processes and compiled code print as ever, above. The cursor is put back after every line; each
    is written at once, so that nobody prints in between.
    """

    def __init__(self) -> None:
        """Take nothing yet."""
        # A monitor that is garbage-collected leaves in the middle of anything, in the same thread.
        self._lock = threading.RLock()
        self._owners: set[object] = set()
        self._stream: TextIO | None = None
        self._size: os.terminal_size | None = None

    def show(self, owner: object, parts: Sequence[str], stream: TextIO) -> None:
        """Replace the bottom line.

        Args:
            owner: Who shows; the line stays until all who did have left.
            parts: What to show, what matters most first; those that do not fit are left out.
            stream: To a terminal that `has_bottom`.
        """
        with self._lock:
            size = os.get_terminal_size(stream.fileno())
            text = ""
            if self._size != size or self._stream is not stream:
                # One line down and up again: where the cursor is at the bottom, the rest moves up.
                text += f"{_SAVE}{_SCROLL_ALL}{_RESTORE}{_DOWN}{_UP}"
                text += f"{_SAVE}\x1b[1;{size.lines - 1}r{_RESTORE}"
            line = _drawn(parts, size.columns, stream)
            text += f"{_SAVE}\x1b[{size.lines};1H{_CLEAR}{line}{_RESTORE}"
            self._owners.add(owner)
            self._stream, self._size = stream, size
            stream.write(text)
            stream.flush()

    def leave(self, owner: object, parts: Sequence[str]) -> None:
        """Print the line where the output has ended, and let the whole terminal scroll again.

        Args:
            owner: Who showed.
            parts: What to print.
        """
        with self._lock:
            stream, size = self._stream, self._size
            self._owners.discard(owner)
            if stream is None or size is None:
                return
            text = ""
            if not self._owners:
                self._stream = self._size = None
                text = f"{_SAVE}{_SCROLL_ALL}\x1b[{size.lines};1H{_CLEAR}{_RESTORE}"
            # A stream that is closed, or whose terminal is gone, needs nothing any more.
            with suppress(OSError, ValueError):
                stream.write(f"{text}{_drawn(parts, size.columns, stream)}\n")
                stream.flush()


BOTTOM = Bottom()
"""There is one, for all monitors of a process."""


def has_bottom(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal in whose bottom line something can stand.

    Args:
        stream: To write to, such as `sys.stderr`; None where there is none.

    Returns:
        False too where another program has the terminal now.
    """
    if os.name != "posix" or stream is None or os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        number = stream.fileno()
        return (
            os.isatty(number)
            and os.get_terminal_size(number).lines >= _LEAST_HEIGHT
            and os.tcgetpgrp(number) == os.getpgrp()
        )
    except (OSError, ValueError):
        return False


def _drawn(parts: Sequence[str], width: int, stream: TextIO) -> str:
    first, *others = parts
    with_name = cell_len(f"{NAME}{'  '.join(parts[:2])}") < width
    line = Text.assemble((NAME if with_name else "", "dim"), first)
    line.truncate(width - 1)
    for part in others:
        if line.cell_len + 2 + cell_len(part) < width:
            line.append(f"  {part}")
    console = Console(file=stream, highlight=False)
    with console.capture() as captured:
        console.print(line, end="", soft_wrap=True)
    return captured.get()
