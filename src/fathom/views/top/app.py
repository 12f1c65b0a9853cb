"""`fathom top`: a run in the terminal, while it is written and after."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType

from fathom.views.look import DARK, Look
from fathom.views.top.board import SORTS, Board, usual_phase
from fathom.views.top.overview import Overview, Shown
from fathom.views.top.page import Page, Say
from fathom.views.top.pages import findings_page, help_page, layer_page, metrics_page
from fathom.views.top.themes import LOOKS, theme_of
from fathom.views.top.watcher import Sight, Watcher

_Read = TypeVar("_Read")
_SORT_KEYS = {each[0]: each for each in SORTS}
_OF_THE_LAYERS = ("sort", "filter", "clear")


class Top(App[None]):
    """Shows the layers of a run, and follows it."""

    TITLE = "fathom top"
    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: $background; color: $foreground; }"

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
        self._overview = Overview(path)
        self.shown = asyncio.Event()
        """Whether a step of the run is on the screen."""

    @property
    def look(self) -> Look:
        """The colours now."""
        return LOOKS.get(self.theme, DARK)

    def compose(self) -> ComposeResult:
        """Lay the screen out.

        Yields:
            The layers.
        """
        yield self._overview

    def on_mount(self) -> None:
        """Begin to follow the run."""
        for name, look in LOOKS.items():
            self.register_theme(theme_of(name, look))
        self.theme = "fathom-light" if self._light else "fathom-dark"
        self._overview.table.focus()
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

    def on_layer_table_opened(self) -> None:
        """Show the details of the layer under the cursor."""
        row = self._overview.table.row
        if row is not None and self._board is not None:
            self._open(partial(self._layer, row.facts.name))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key does something here.

        Args:
            action: Of the key.
            parameters: Of the action.

        Returns:
            False under a page for what would change only the layers, which it hides.
        """
        return not (action in _OF_THE_LAYERS and isinstance(self.screen, Page))

    def action_help(self) -> None:
        """Say what the keys do."""
        self._open(self._help)

    def action_findings(self) -> None:
        """Say what there is to know, in words."""
        self._open(self._findings)

    def action_metrics(self) -> None:
        """List the user's metrics."""
        self._open(self._metrics)

    def action_filter(self) -> None:
        """Ask for words."""
        self._overview.ask()

    def action_clear(self) -> None:
        """Show all layers again."""
        self._overview.clear()

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
            else:
                self._draw_head()
            await asyncio.sleep(self._pause)

    async def _read(self, what: Callable[[], _Read]) -> _Read:
        return await asyncio.get_running_loop().run_in_executor(self._reader, what)

    def _open(self, say: Say) -> None:
        """Show a page, in the place of one that is open."""
        page = Page(say)
        if isinstance(self.screen, Page):
            self.switch_screen(page)
        else:
            self.push_screen(page)

    async def _help(self) -> Text:
        return help_page()

    async def _findings(self) -> Text:
        if self._board is None or self._sight is None:
            return Text(self._overview.note)
        return findings_page(self._board, trouble=self._sight.trouble, look=self.look)

    async def _metrics(self) -> Text:
        if self._board is None:
            return Text(self._overview.note)
        return metrics_page(self._board, look=self.look)

    async def _layer(self, name: str) -> Text:
        board = self._board
        row = next((row for row in board.rows if row.facts.name == name), None) if board else None
        if board is None or row is None:
            return Text("This layer is not in the run any more.")
        spectrum = await self._read(
            lambda: self._watcher.spectrum(name, step=board.step, phase=board.phase)
        )
        return layer_page(row, board, spectrum, look=self.look)

    @property
    def _shown(self) -> Shown:
        return Shown(
            self._path,
            self._sight,
            self._board,
            sort=self._sort,
            turned=self._turned,
            since=self._since,
            look=self.look,
        )

    def _draw(self) -> None:
        """Draw everything for the run as it is, and the user's choices."""
        history = self._sight.history if self._sight is not None else None
        self._board = None
        if history is not None and history.moments:
            if not self._phase_is_chosen:
                self._phase = usual_phase(history, before=self._phase)
            self._board = Board(history, history.place(self._step), self._phase or "eval")
        self._overview.show(self._shown)
        if isinstance(self.screen, Page):
            self.screen.renew()
        if self._board is not None:
            self.shown.set()

    def _draw_head(self) -> None:
        self._overview.show_head(self._shown)
