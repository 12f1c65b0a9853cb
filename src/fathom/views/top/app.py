"""`fathom top`: a run in the terminal, while it is written and after."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from fathom.spectral.spectrum import Spectrum
from fathom.views.look import DARK, Look
from fathom.views.top.board import SORTS, Board, Row, usual_phase
from fathom.views.top.feet import chosen_line, keys_line, trouble_lines, why_empty
from fathom.views.top.head import head, where
from fathom.views.top.pages import Page, findings_page, help_page, layer_page, metrics_page
from fathom.views.top.table import LayerTable
from fathom.views.top.themes import LOOKS, theme_of
from fathom.views.top.watcher import Sight, Watcher

_Read = TypeVar("_Read")
_SORT_KEYS = {each[0]: each for each in SORTS}


class Top(App[None]):
    """Shows the layers of a run, and follows it."""

    TITLE = "fathom top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; color: $foreground; }
    Static { width: 100%; height: auto; }
    #columns, #chosen, #keys { height: 1; }
    #filter { display: none; height: 1; border: none; padding: 0 1; background: $surface; }
    #filter:focus { border: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", show=False),
        Binding("ctrl+c,ctrl+q", "quit", show=False, priority=True),
        Binding("question_mark", "help", show=False),
        Binding("slash", "filter", show=False),
        Binding("escape", "clear", show=False),
        Binding("p", "phase", show=False),
        Binding("left,h", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("l", "newest", show=False),
        Binding("f", "findings", show=False),
        Binding("m", "metrics", show=False),
        Binding("t", "theme", show=False),
        *(Binding(key, f"sort({name!r})", show=False) for key, name in _SORT_KEYS.items()),
    ]

    def __init__(self, path: Path, *, light: bool = False, pause: float = 0.5):
        """Say what to show.

        Args:
            path: The run's folder, which need not be there yet.
            light: Dark text on a light ground; the other way round else.
            pause: Seconds between two looks at the run.
        """
        super().__init__()
        self._path = path
        self._light = light
        self._pause = pause
        self._watcher = Watcher(path)
        # All that is read of the run is read in one thread, and none of it holds up a key.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fathom-top")
        self._sight: Sight | None = None
        self._board: Board | None = None
        self._phase: str | None = None
        self._phase_is_chosen = False
        self._step: int | None = None
        self._sort = "order"
        self._turned = False
        self._since = ""
        self._where, self._head, self._trouble = Static(), Static(), Static()
        self._columns = Static(id="columns")
        self._chosen, self._keys = Static(id="chosen"), Static(id="keys")
        self._table = LayerTable()
        self.shown = asyncio.Event()
        """Whether a step of the run is on the screen."""
        self._filter = Input(placeholder="filter: name, kind or status", id="filter")
        self._written: dict[Static, Text] = {}
        # What the page over the layers shows, if there is one; of a layer's, its name and spectrum.
        self._page: Callable[[], Text] | None = None
        self._opened: str | None = None
        self._spectrum: Spectrum | None = None

    @property
    def look(self) -> Look:
        """The colours now."""
        return LOOKS.get(self.theme, DARK)

    def compose(self) -> ComposeResult:
        """Lay the screen out.

        Yields:
            Its parts, from above.
        """
        yield self._where
        yield self._head
        yield self._trouble
        yield self._columns
        yield self._table
        yield self._chosen
        yield self._filter
        yield self._keys

    def on_mount(self) -> None:
        """Begin to follow the run."""
        for name, look in LOOKS.items():
            self.register_theme(theme_of(name, look))
        self.theme = "fathom-light" if self._light else "fathom-dark"
        self._table.focus()
        self._draw()
        self.run_worker(self._follow())
        self.set_interval(1.0, self._draw_head)

    def on_unmount(self) -> None:
        """Let go of the run."""
        self._reader.submit(self._watcher.close)
        self._reader.shutdown()

    def on_resize(self) -> None:
        """Lay the head out for the new width."""
        self._draw()

    def on_layer_table_moved(self) -> None:
        """Tell of the layer under the cursor, and name the columns that there are now."""
        self._draw_feet()

    async def on_layer_table_opened(self) -> None:
        """Show the details of the layer under the cursor."""
        if self._table.row is not None and self._board is not None:
            self._opened = self._table.row.facts.name
            await self._read_spectrum()
            self._open(self._layer)

    def on_input_changed(self) -> None:
        """Filter while it is typed."""
        self._draw()

    def on_input_submitted(self) -> None:
        """Go back to the layers that are left."""
        self._table.focus()
        self._filter.display = False

    def action_help(self) -> None:
        """Say what the keys do."""
        self._open(help_page)

    def action_findings(self) -> None:
        """Say what there is to know, in words."""
        if self._board is not None:
            self._open(self._findings)

    def action_metrics(self) -> None:
        """List the user's metrics."""
        if self._board is not None:
            self._open(self._metrics)

    def action_filter(self) -> None:
        """Ask for words."""
        self._filter.display = True
        self._filter.focus()

    def action_clear(self) -> None:
        """Show all layers again."""
        self._filter.value = ""
        self.on_input_submitted()

    def action_sort(self, name: str) -> None:
        """Sort by a column; where it is that one already, the other way round.

        Args:
            name: A key of `SORTS`.
        """
        self._turned = not self._turned if name == self._sort else False
        self._sort = name
        self._draw()

    def action_phase(self) -> None:
        """Show the other phase."""
        if self._board is not None:
            self._phase = "train" if self._board.phase == "eval" else "eval"
            self._phase_is_chosen = True
            self._draw()

    def action_step(self, by: int) -> None:
        """Show another step; from the last one on, follow the run.

        Args:
            by: So many steps later.
        """
        if self._board is None:
            return
        moments = self._board.history.moments
        place = min(max(self._board.place + by, 0), len(moments) - 1)
        self._step = None if place == len(moments) - 1 else moments[place].step
        self._draw()

    def action_newest(self) -> None:
        """Show the last step, and follow the run."""
        self._step = None
        self._draw()

    def action_theme(self) -> None:
        """Turn light to dark, or dark to light."""
        self.theme = "fathom-dark" if self.theme == "fathom-light" else "fathom-light"
        self._draw()

    async def _follow(self) -> None:
        while True:
            before = self._sight
            self._sight = await self._read(self._watcher.look)
            if before is not None and 0 < before.number < self._sight.number:
                self._step, self._phase, self._phase_is_chosen = None, None, False
                self._since = time.strftime("%H:%M")
            if before is None or self._sight.history is not before.history:
                self._draw()
                await self._read_spectrum()
                self._draw_page()
            else:
                self._draw_head()
            await asyncio.sleep(self._pause)

    async def _read(self, what: Callable[[], _Read]) -> _Read:
        return await asyncio.get_running_loop().run_in_executor(self._reader, what)

    async def _read_spectrum(self) -> None:
        """Read what the page of a layer shows, of the step that is shown now."""
        board, layer = self._board, self._opened
        if board is not None and layer is not None:
            self._spectrum = await self._read(
                lambda: self._watcher.spectrum(layer, step=board.step, phase=board.phase)
            )

    def _open(self, page: Callable[[], Text]) -> None:
        self._page = page
        self.push_screen(Page(page()), self._page_left)

    def _page_left(self, _: None) -> None:
        self._page = self._opened = None

    def _findings(self) -> Text:
        assert self._board is not None
        assert self._sight is not None
        return findings_page(self._board, trouble=self._sight.trouble, look=self.look)

    def _metrics(self) -> Text:
        assert self._board is not None
        return metrics_page(self._board, look=self.look)

    def _layer(self) -> Text:
        assert self._board is not None
        for row in self._board.rows:
            if row.facts.name == self._opened:
                return layer_page(row, self._board, self._spectrum, look=self.look)
        return Text("This layer is not in the run any more.")

    @property
    def _note(self) -> str:
        return why_empty(self._path, self._sight, self._board, words=self._filter.value)

    def _draw(self) -> None:
        """Draw everything for the run as it is, and the user's choices."""
        history = self._sight.history if self._sight is not None else None
        self._board = None
        if history is not None and history.moments:
            if not self._phase_is_chosen:
                self._phase = usual_phase(history, before=self._phase)
            self._board = Board(history, history.place(self._step), self._phase or "eval")
        self._table.show(self._rows(), look=self.look, note=self._note)
        self._draw_head()
        self._draw_feet()
        if self._board is not None:
            self.shown.set()

    def _draw_head(self) -> None:
        sight, board, width = self._sight, self._board, self.size.width
        if sight is not None:
            text = where(
                sight, board, since=self._since, look=self.look, now=time.time(), width=width
            )
            self._write(self._where, text)
        self._write(
            self._head, Text() if board is None else head(board, look=self.look, width=width)
        )
        told = sight.trouble if sight is not None and board is not None else ""
        self._write(self._trouble, trouble_lines(told, look=self.look, width=width))
        if board is None:
            self._table.show((), look=self.look, note=self._note)

    def _draw_feet(self) -> None:
        row = self._table.row
        heads = self._table.columns.heads(sort=self._sort, turned=self._turned)
        self._write(self._columns, heads if row is not None else Text())
        self._write(self._chosen, Text() if row is None else chosen_line(row, self.look))
        shown = ""
        if self._filter.value and self._board is not None:
            shown = f"{len(self._rows())} of {len(self._board.rows)}"
        self._write(self._keys, keys_line(self.size.width, filtered=shown, look=self.look))

    def _draw_page(self) -> None:
        if self._page is not None and isinstance(self.screen, Page):
            self.screen.show(self._page())

    def _write(self, place: Static, text: Text) -> None:
        """Write a text, unless it stands there already: nothing is sent that is not new."""
        if self._written.get(place) != text:
            self._written[place] = text
            place.update(text)
            place.display = bool(text) or place.id is not None

    def _rows(self) -> list[Row]:
        if self._board is None or not self._board.seen:
            return []
        return self._board.layers(sort=self._sort, turned=self._turned, words=self._filter.value)
