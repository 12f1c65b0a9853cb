"""A page of text over the layers of `fathom top`."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

Say = Callable[[], Awaitable[Text]]
"""Returns what a page says now; it may have to be read first."""


class Page(Screen[None]):
    """A page that scrolls, and says anew what it says whenever something has changed."""

    DEFAULT_CSS = """
    Page Static { width: 100%; height: auto; padding: 0 1; }
    Page VerticalScroll { scrollbar-size-vertical: 1; }
    Page #back { dock: bottom; height: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,backspace", "app.pop_screen", show=False)
    ]

    def __init__(self, say: Say):
        """Say what it shows.

        Args:
            say: Its text.
        """
        super().__init__()
        self._say = say
        self._text = Static()

    def compose(self) -> ComposeResult:
        """Lay it out.

        Yields:
            The text, and how to leave it.
        """
        with VerticalScroll():
            yield self._text
        yield Static(Text("esc back", "bold"), id="back")

    def on_mount(self) -> None:
        """Say it the first time."""
        self.renew()

    def renew(self) -> None:
        """Say it again; where it is scrolled to stays, and of several the last counts."""
        self.run_worker(self._renewed(), exclusive=True)

    async def _renewed(self) -> None:
        self._text.update(await self._say())
