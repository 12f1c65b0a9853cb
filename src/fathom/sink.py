"""What a sink is, and how snapshots reach it: one that fails or hangs is switched off, no more."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from fathom.errors import collected, warn, words_of
from fathom.snapshot import Snapshot

# How many snapshots may wait for a sink: of 100 layers of width 512, one takes 0.4 MB.
_LENGTH = 100

# Seconds that a sink may keep the training waiting: in all while it trains, and again at the end,
# where a dashboard on the network still sends.
_PATIENCE = 20.0


class Sink(Protocol):
    """Another place where the numbers go; all calls come from one thread of fathom's own."""

    def write(self, snapshot: Snapshot) -> None:
        """Take one snapshot: the training goes on meanwhile."""

    def close(self) -> None:
        """Write out what is left; no more will come."""


class Feed:
    """Gives one sink its snapshots, in their order and beside everything else.

    Its thread lasts from the first snapshot to the end. It is a daemon, so that a sink that hangs
    does not keep Python from ending; the end of the monitor waits for one that does not.
    """

    def __init__(self, sink: Sink, messages: deque[str]):
        """Begin without a thread.

        Args:
            sink: Where the snapshots go.
            messages: Where its warnings go, for the user's thread.
        """
        self._sink = sink
        self._messages = messages
        # A monitor may be garbage-collected in the middle of a `put`, and puts the end there then.
        self._waiting: SimpleQueue[Snapshot | None] = SimpleQueue()
        self._room = threading.Semaphore(_LENGTH)
        self._patience = _PATIENCE
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_off = self._is_ending = False
        self._ended = threading.Event()

    @property
    def is_here(self) -> bool:
        """Whether the sink itself is the caller."""
        return threading.current_thread() is self._thread

    def start(self) -> None:
        """Begin the thread, if there is none yet."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="fathom-sink", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # There are no new threads while Python ends.
                self._thread = None

    def give(self, snapshot: Snapshot) -> None:
        """Have a snapshot written, and most often return at once.

        Args:
            snapshot: What was measured.
        """
        if self._is_off or self._is_ending:
            return
        if self._thread is None:
            self._write(snapshot)
            return
        begun = time.monotonic()
        if self._room.acquire(timeout=self._patience):
            self._patience = max(0.0, self._patience - (time.monotonic() - begun))
            self._waiting.put(snapshot)
        else:
            self._switch_off(
                f"cannot keep up: {_LENGTH} snapshots wait for it at step {snapshot.step}. It is "
                "switched off; the run is not affected. Take snapshots less often, if it works."
            )

    def end(self) -> None:
        """Have the sink closed after all that was given."""
        with self._lock:
            before, self._is_ending = self._is_ending, True
        if before:
            return
        if self._thread is not None:
            self._waiting.put(None)
        elif not self._is_off:
            # It was given nothing, or Python ends.
            self._close()

    def wait(self, deadline: float) -> None:
        """Wait until the sink is closed, and give it up if it takes too long.

        Args:
            deadline: Of `time.monotonic`.
        """
        if not (self.is_here or self._ended.wait(max(0.0, deadline - time.monotonic()))):
            self._switch_off(
                f"was not done {_PATIENCE:.0f} s after the end and is given up; the run is not "
                "affected."
            )

    def _work(self) -> None:
        with collected(self._messages):
            while not self._is_off and (snapshot := self._waiting.get()) is not None:
                self._write(snapshot)
                self._room.release()
            self._close()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            self._sink.write(snapshot)
        except BaseException as error:  # noqa: BLE001 - a dead sink may not end the training
            self._switch_off(
                f"failed at step {snapshot.step} and is switched off; the run is not affected. "
                f"{words_of(error)}"
            )

    def _close(self) -> None:
        try:
            self._sink.close()
        except BaseException as error:  # noqa: BLE001 - a dead sink may not end the training
            self._switch_off(f"could not be closed; the run is not affected. {words_of(error)}")
        self._ended.set()

    def _switch_off(self, words: str) -> None:
        """Give the sink nothing more; say so unless something was said before."""
        with self._lock:
            before, self._is_off = self._is_off, True
        if before:
            return
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        warn(f"fathom: sink {type(self._sink).__name__} {words}")
        # Whatever it still does, such as to close what does not answer, nobody waits for it.
        self._ended.set()


def end_all(feeds: Iterable[Feed]) -> None:
    """Close every sink, all at a time; never raise, nor wait for ever.

    Args:
        feeds: They are given nothing more.
    """
    for feed in feeds:
        feed.end()
    deadline = time.monotonic() + _PATIENCE
    for feed in feeds:
        feed.wait(deadline)
