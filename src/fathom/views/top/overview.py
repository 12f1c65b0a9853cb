"""The layers of `fathom top`, with what stands above and below them."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from fathom.views.look import DARK, Look
from fathom.views.top.board import Board, Row
from fathom.views.top.feet import chosen_line, keys_line, trouble_lines, why_empty
from fathom.views.top.head import head, where
from fathom.views.top.table import LayerTable
from fathom.views.top.watcher import Sight


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What is to be seen.

    Attributes:
        path: The run's folder.
        sight: What the last look has found; None before the first.
        board: The step that is shown; None where there is none.
        sort: A key of `SORTS`.
        turned: The other way round.
        since: When this run took the place of another; empty where it did not.
        look: The colours.
    """

    path: Path
    sight: Sight | None = None
    board: Board | None = None
    sort: str = "order"
    turned: bool = False
    since: str = ""
    look: Look = DARK


class Overview(Vertical):
    """Draws what it is told to show; the filter is its own."""

    DEFAULT_CSS = """
    Overview Static { width: 100%; height: auto; }
    Overview #columns, Overview #chosen, Overview #keys { height: 1; }
    Overview #filter { display: none; height: 1; border: none; padding: 0 1;
                       background: $surface; }
    Overview #filter:focus { border: none; }
    """

    def __init__(self, path: Path) -> None:
        """Show nothing yet.

        Args:
            path: The run's folder.
        """
        super().__init__()
        self._shown = Shown(path)
        self._where, self._head, self._trouble = Static(), Static(), Static()
        self._columns = Static(id="columns")
        self._chosen, self._keys = Static(id="chosen"), Static(id="keys")
        self.table = LayerTable()
        """The layers."""
        self._filter = Input(placeholder="filter: name, kind or status", id="filter")
        self._written: dict[Static, Text] = {}

    def compose(self) -> ComposeResult:
        """Lay it out.

        Yields:
            Its parts, from above.
        """
        yield self._where
        yield self._head
        yield self._trouble
        yield self._columns
        yield self.table
        yield self._chosen
        yield self._filter
        yield self._keys

    @property
    def note(self) -> str:
        """Why there are no layers, where there are none."""
        shown = self._shown
        return why_empty(shown.path, shown.sight, shown.board, words=self._filter.value)

    def show(self, shown: Shown) -> None:
        """Draw all of it.

        Args:
            shown: What is to be seen from now on.
        """
        self._shown = shown
        self.table.show(self._rows(), look=shown.look, note=self.note)
        self.show_head(shown)
        self._draw_feet()

    def show_head(self, shown: Shown) -> None:
        """Draw what changes without a new step: the time, and whether the training goes on.

        Args:
            shown: What is to be seen, of the same step.
        """
        self._shown = shown
        sight, board, look, width = shown.sight, shown.board, shown.look, self.app.size.width
        if sight is not None:
            text = where(sight, board, since=shown.since, look=look, now=time.time(), width=width)
            self._write(self._where, text)
        self._write(self._head, Text() if board is None else head(board, look=look, width=width))
        told = sight.trouble if sight is not None and board is not None else ""
        self._write(self._trouble, trouble_lines(told, look=look, width=width))
        if board is None:
            self.table.show((), look=look, note=self.note)

    def ask(self) -> None:
        """Ask for words to filter by."""
        self._filter.display = True
        self._filter.focus()

    def clear(self) -> None:
        """Show all layers again."""
        self._filter.value = ""
        self.on_input_submitted()

    def on_input_changed(self) -> None:
        """Filter while it is typed."""
        self.show(self._shown)

    def on_input_submitted(self) -> None:
        """Go back to the layers that are left."""
        self.table.focus()
        self._filter.display = False

    def on_layer_table_moved(self) -> None:
        """Tell of the layer under the cursor, and name the columns that there are now."""
        self._draw_feet()

    def _draw_feet(self) -> None:
        row, shown = self.table.row, self._shown
        heads = self.table.columns.heads(sort=shown.sort, turned=shown.turned)
        self._write(self._columns, heads if row is not None else Text())
        self._write(self._chosen, Text() if row is None else chosen_line(row, shown.look))
        left = ""
        if self._filter.value and shown.board is not None:
            left = f"{len(self._rows())} of {len(shown.board.rows)}"
        self._write(self._keys, keys_line(self.app.size.width, filtered=left, look=shown.look))

    def _rows(self) -> list[Row]:
        board, shown = self._shown.board, self._shown
        if board is None or not board.seen:
            return []
        return board.layers(sort=shown.sort, turned=shown.turned, words=self._filter.value)

    def _write(self, place: Static, text: Text) -> None:
        """Write a text, unless it stands there already: nothing is sent that is not new."""
        if self._written.get(place) != text:
            self._written[place] = text
            place.update(text)
            place.display = bool(text) or place.id is not None
