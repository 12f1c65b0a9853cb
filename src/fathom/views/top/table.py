"""The list of layers: any number of lines, of which those on the screen are drawn."""

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from fathom.views.look import DARK, Look
from fathom.views.top.board import Row
from fathom.views.top.columns import Columns, columns_for, folded

# Without any colour it can still be told from the others.
_CHOSEN = Style(reverse=True, bold=True)


class LayerTable(ScrollView, can_focus=True):
    """Draws the rows it is given; its cursor stays on a layer, wherever that moves to."""

    DEFAULT_CSS = """
    LayerTable { height: 1fr; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
                 overflow-x: hidden; overflow-y: auto; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
        Binding("enter", "open", show=False),
    ]

    class Moved(Message):
        """The cursor is on another layer, or the columns are others."""

    class Opened(Message):
        """A layer's details are asked for."""

    def __init__(self) -> None:
        """Begin without layers."""
        super().__init__()
        self.columns: Columns = columns_for((), 80)
        """What stands in a line."""
        self._rows: Sequence[Row] = ()
        self._note = ""
        self._look: Look = DARK
        self._chosen: str | None = None
        self._cursor = 0
        self._height = 0  # of which the user has seen the lines last
        # Each line's row and place in it, each row's first line, and the rows that were drawn.
        self._lines: list[tuple[int, int]] = []
        self._firsts: list[int] = []
        self._drawn: dict[int, list[Text]] = {}

    @property
    def row(self) -> Row | None:
        """The row under the cursor, until it is moved the first; None where there is none."""
        return self._rows[self._cursor] if self._rows else None

    def show(self, rows: Sequence[Row], *, look: Look, note: str = "") -> None:
        """Draw these rows from now on, and of the screen only what is different.

        Args:
            rows: In their order.
            look: The colours.
            note: Stands there instead where there are no rows.
        """
        anchor = self._anchor()
        before = [self._shown(y) for y in range(self.size.height)]
        self._rows, self._look, self._note = rows, look, note
        self._lay_out()
        self._return_to(anchor)
        for y, line in enumerate(before):
            if line != self._shown(y):
                self.refresh_line(y + self.scroll_offset.y)

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen.

        Args:
            y: Its number, from the top of what is seen.

        Returns:
            The line, as wide as the list.
        """
        line, is_chosen = self._shown(y)
        width = self.scrollable_content_region.width
        if is_chosen:
            line = Text(line.plain)
        base = self.rich_style
        strip = Strip(line.render(self.app.console)).crop_extend(0, width, None)
        return strip.apply_style(base + _CHOSEN if is_chosen and self.has_focus else base)

    def action_move(self, by: int) -> None:
        """Move the cursor, and what is seen with it.

        Args:
            by: So many layers down.
        """
        if self._rows:
            self._choose(min(max(self._cursor + by, 0), len(self._rows) - 1))

    def action_page(self, by: int) -> None:
        """Move the cursor by what is seen at once.

        Args:
            by: So many times down.
        """
        lines = max(len(self._lines), 1)
        self.action_move(by * max(self.size.height * len(self._rows) // lines - 1, 1))

    def action_open(self) -> None:
        """Ask for the details of the layer under the cursor."""
        if self._rows:
            self.post_message(self.Opened())

    def on_click(self, event: Click) -> None:
        """Choose a layer; open it where it is the one under the cursor already."""
        line = event.y + self.scroll_offset.y
        if line < len(self._lines) and self._rows:
            place = self._lines[line][0]
            if place == self._cursor and self._chosen is not None:
                self.action_open()
            self._choose(place)

    def on_resize(self, event: Resize) -> None:
        """Lay the lines out for the new width."""
        anchor = self._anchor()
        self._lay_out()
        self._return_to(anchor)
        self._height = self.size.height
        self.refresh()

    def on_focus(self) -> None:
        """Show the cursor."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide the cursor."""
        self.refresh()

    def _shown(self, y: int) -> tuple[Text, bool]:
        line = y + self.scroll_offset.y
        if line >= len(self._lines):
            return Text(), False
        place, number = self._lines[line]
        if place not in self._drawn:
            self._drawn[place] = self.columns.lines(self._rows[place], self._look)
        return self._drawn[place][number], bool(self._rows) and place == self._cursor

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        columns = columns_for(self._rows, width)
        if columns != self.columns:
            self.columns = columns
            self.post_message(self.Moved())
        self._lines, self._firsts, self._drawn = [], [], {}
        for place, row in enumerate(self._rows):
            self._firsts.append(len(self._lines))
            count = len(folded(row.label, columns.name))
            self._lines += [(place, number) for number in range(count)]
        if not self._rows and width > 2:
            lines = Text(self._note).wrap(self.app.console, width - 2)
            self._drawn = {0: [Text(" ") + line for line in lines]}
            self._lines = [(0, number) for number in range(len(lines))]
        names = (place for place, row in enumerate(self._rows) if row.facts.name == self._chosen)
        self._cursor = next(names, 0)
        self.virtual_size = Size(width, len(self._lines))

    def _choose(self, place: int) -> None:
        before, self._cursor = self._cursor, place
        self._chosen = self._rows[place].facts.name
        top, height = self.scroll_offset.y, self.size.height
        first, last = self._first_and_last(place)
        if first < top:
            self.scroll_to(y=first, animate=False, force=True)
        elif last >= top + height:
            self.scroll_to(y=last - height + 1, animate=False, force=True)
        for each in (before, place):
            first, last = self._first_and_last(each)
            self.refresh_lines(first, last - first + 1)
        self.post_message(self.Moved())

    def _first_and_last(self, place: int) -> tuple[int, int]:
        ends = [*self._firsts[1:], len(self._lines)]
        return self._firsts[place], ends[place] - 1

    def _anchor(self) -> tuple[str, int] | None:
        """Return a layer that is seen, the chosen one if it is, and on which line of the screen."""
        top = self.scroll_offset.y
        if not self._rows or (top == 0 and self._chosen is None):
            return None
        at = self._firsts[self._cursor] - top
        if self._chosen is not None and 0 <= at < self._height:
            return self._chosen, at
        if top == 0:
            return None
        place = self._lines[min(top, len(self._lines) - 1)][0]
        return self._rows[place].facts.name, self._firsts[place] - top

    def _return_to(self, anchor: tuple[str, int] | None) -> None:
        """Scroll so that the layer is on that line again."""
        if anchor is None:
            self.scroll_to(y=0, animate=False, force=True)
            return
        name, at = anchor
        for place, row in enumerate(self._rows):
            if row.facts.name == name:
                # In less room the line may have been below the last; the end of the row is seen.
                first, last = self._first_and_last(place)
                at = min(at, self.size.height - (last - first + 1))
                self.scroll_to(y=max(first - at, 0), animate=False, force=True)
