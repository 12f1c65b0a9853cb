"""Server-sent events: whoever listens is told which runs are other than they were."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from fathom.views.server.listing import Listing
from fathom.views.server.runs import OpenRuns

PAUSE = 0.2
"""Seconds between two looks at a run: a snapshot is to be seen within one."""

LIST_PAUSE = 1.0
"""Seconds between two looks at the list of runs, for which folders are searched."""

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that nothing between takes it for dead."""

MOST_LISTENERS = 100
"""How many may listen at once."""

MOST_FOLLOWED = 32
"""How many runs may be listened to at once."""

_FAULT = "fault"

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Listener:
    """Where it has fallen behind, it is told of the last state alone: nothing piles up."""

    names: tuple[str, ...]
    news: dict[str | None, None] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, name: str | None) -> None:
        self.news[name] = None
        self.woken.set()


@dataclass(slots=True, eq=False)
class _Watch:
    """One run, or the list (None), that some listen to."""

    task: asyncio.Task[None]
    listeners: list[_Listener] = field(default_factory=list)
    looked: bool = False
    stamp: str | None = None


class TooManyError(Exception):
    """More listen than there is room for."""


class Events:
    """Watches what is listened to, and nothing while nobody listens. Of the event loop."""

    def __init__(self, runs: OpenRuns, listing: Listing):
        """Watch nothing yet.

        Args:
            runs: Those that are open.
            listing: All.
        """
        self._runs = runs
        self._listing = listing
        self._watches: dict[str | None, _Watch] = {}
        self._streams: set[EventStream] = set()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams, so that a server can end."""
        self._closing.set()

    def stream(self, names: Sequence[str]) -> "EventStream":
        """Return the answer to somebody who listens; it has its place until it has ended.

        Args:
            names: Of the runs, each once; of none, the list alone.

        Returns:
            An answer that must be sent, or its place is never free again.

        Raises:
            TooManyError: If too many listen, or to too many runs.
        """
        followed = {name for stream in self._streams for name in stream.names}
        if len(self._streams) >= MOST_LISTENERS or len(followed.union(names)) > MOST_FOLLOWED:
            raise TooManyError
        stream = EventStream(self, tuple(names), self._closing)
        self._streams.add(stream)
        return stream

    def ended(self, stream: "EventStream") -> None:
        """Give the place of a stream to others."""
        self._streams.discard(stream)

    @asynccontextmanager
    async def listening(self, names: tuple[str, ...]) -> AsyncIterator[_Listener]:
        """Be told of these runs, and of the list, inside the block."""
        listener = _Listener(names)
        try:
            for name in (None, *names):
                self._join(name, listener)
            yield listener
        finally:
            for name in (None, *names):
                self._leave(name, listener)

    def stamp(self, name: str) -> str | None:
        """Return the stamp of a run that is listened to."""
        return self._watches[name].stamp

    def _join(self, name: str | None, listener: _Listener) -> None:
        watch = self._watches.get(name)
        if watch is None:
            look = self._look_at_list() if name is None else self._look_at(name)
            watch = self._watches[name] = _Watch(asyncio.create_task(look))
        watch.listeners.append(listener)
        if watch.looked:
            listener.tell(name)

    def _leave(self, name: str | None, listener: _Listener) -> None:
        watch = self._watches[name]
        watch.listeners.remove(listener)
        if not watch.listeners:
            watch.task.cancel()
            del self._watches[name]

    async def _look_at(self, name: str) -> None:
        with self._runs.use(name) as followed:
            await self._look(name, followed.look, pause=PAUSE, share=1.0)

    async def _look_at_list(self) -> None:
        # Whoever comes asks for what it shows first; the search of folders is not to delay that.
        await asyncio.sleep(LIST_PAUSE)
        # A search of many folders is left more time to the rest of the machine.
        await self._look(None, self._listing.look, pause=LIST_PAUSE, share=0.1)

    async def _look(
        self, name: str | None, look: Callable[[], str | None], *, pause: float, share: float
    ) -> None:
        while True:
            began = time.monotonic()
            watch = self._watches[name]
            try:
                stamp = await asyncio.to_thread(look)
            except Exception:  # noqa: BLE001 - whatever it is, who listens would wait for ever
                stamp = _FAULT
                if watch.stamp != _FAULT:
                    _log.exception("serve: looking at %r has failed; it goes on", name)
            if not watch.looked or stamp != watch.stamp:
                watch.looked, watch.stamp = True, stamp
                for listener in watch.listeners:
                    listener.tell(name)
            await asyncio.sleep(max(pause, (time.monotonic() - began) / share))


class EventStream:
    """The answer to one who listens, until it goes or the server ends."""

    def __init__(self, events: Events, names: tuple[str, ...], closing: asyncio.Event):
        """Prepare the answer."""
        self.names = names
        self._events = events
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events for as long as it is listened."""
        try:
            await self._send(scope, receive, send)
        finally:
            self._events.ended(self)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] != "HEAD":
            telling = asyncio.create_task(self._tell(send))
            others = [asyncio.create_task(task) for task in (self._closing.wait(), _left(receive))]
            await asyncio.wait([telling, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in (telling, *others):
                task.cancel()
            await asyncio.gather(telling, *others, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, send: Callable[..., Awaitable[None]]) -> None:
        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async with self._events.listening(self.names) as listener:
            await write("retry: 1000\n\n")
            while True:
                try:
                    await asyncio.wait_for(listener.woken.wait(), HEARTBEAT)
                except TimeoutError:
                    await write(": nothing new\n\n")
                    continue
                listener.woken.clear()
                news, listener.news = list(listener.news), {}
                await write("".join(map(self._event, news)))

    def _event(self, name: str | None) -> str:
        if name is None:
            return "event: runs\ndata: {}\n\n"
        data = json.dumps({"name": name, "stamp": self._events.stamp(name)})
        return f"event: run\ndata: {data}\n\n"


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
