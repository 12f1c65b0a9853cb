"""The runs that are open, each once however many look at it."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from fathom.views.server.followed import Followed
from fathom.views.server.root import Root

REST = 60.0
"""Seconds after which a run that nobody looks at is closed."""

MOST_KEPT = 32
"""How many runs are kept open, with their documents, beside those in use."""


class OpenRuns:
    """The runs that are open: one `Followed` each, however many look at it. Of the event loop."""

    def __init__(self, root: Root):
        """Say where they lie; none is open at first."""
        self._root = root
        self._open: OrderedDict[str, Followed] = OrderedDict()
        self._users: dict[str, int] = {}
        self._rest: asyncio.TimerHandle | None = None

    @contextmanager
    def use(self, name: str) -> Iterator[Followed]:
        """Have a run open inside the block, and for a while after.

        Args:
            name: Hostile text.

        Yields:
            The run, which all that use it share.
        """
        followed = self._open.setdefault(name, Followed(self._root, name))
        self._open.move_to_end(name)
        self._users[name] = self._users.get(name, 0) + 1
        try:
            yield followed
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
            self._close_beyond(MOST_KEPT)
            if self._rest is not None:
                self._rest.cancel()
            self._rest = asyncio.get_running_loop().call_later(REST, self._close_beyond, 0)

    def _close_beyond(self, most: int) -> None:
        idle = [name for name in self._open if name not in self._users]
        for name in idle[: max(0, len(self._open) - most)]:
            # A look under way is waited for in a thread of its own.
            asyncio.get_running_loop().run_in_executor(None, self._open.pop(name).close)
