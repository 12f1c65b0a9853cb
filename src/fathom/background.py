"""What is done beside the training: one window after the other, each on a thread of its own.

A thread ends with its window, so that a monitor between two snapshots has none: nothing to end with
it, and seldom one that runs where the training forks, as a `DataLoader` does.
"""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import torch

from fathom.errors import ClosedError, collected, tell, warn, words_of
from fathom.snapshot import Measured

# A monitor that nobody closed may go while a lock is held that the background waits for, so its end
# may not wait for ever; most often it can wait, and then the run is free for the next `watch`.
_PATIENCE = 10.0


class Work:
    """The measuring and recording of one window: what a `Snapshot` waits for."""

    def __init__(self, measure: Callable[[], Measured], record: Callable[[], None]):
        """Say what is to be done; `Background.begin` has it done.

        Args:
            measure: Computes what the snapshot says.
            record: Records the snapshot, which by then can be read.
        """
        self._steps: tuple[Callable[[], Measured], Callable[[], None]] | None = measure, record
        self._process = os.getpid()
        self._thread: int | None = None
        self._measured = Measured()
        self._computed = threading.Event()
        self._done = threading.Event()
        self._messages: deque[str] = deque()

    @property
    def computed(self) -> bool:
        """See `Pending`."""
        return self._computed.is_set()

    @property
    def done(self) -> bool:
        """See `Pending`."""
        return self._done.is_set()

    def measured(self) -> Measured:
        """See `Pending`."""
        self._wait_for(self._computed)
        self.tell()
        return self._measured

    def wait(self, timeout: float | None = None) -> None:
        """See `Pending`.

        Raises:
            TimeoutError: If it takes longer.
        """
        if not self._wait_for(self._done, timeout):
            raise TimeoutError(
                f"Snapshot.wait: the snapshot must be done within {timeout} s, got one that is "
                "not. Wait longer; the training can go on meanwhile."
            )
        self.tell()

    def tell(self) -> None:
        """Give the warnings that came up so far, each once."""
        tell(self._messages)

    def run(self, before: "Work | None") -> None:
        """Measure and record; never raise.

        Args:
            before: What has to be done first.
        """
        assert self._steps is not None
        measure, record = self._steps
        self._thread = threading.get_ident()
        if before is not None:
            before._done.wait()
        with collected(self._messages):
            try:
                self._measured = measure()
                self._computed.set()
                record()
            except BaseException as error:  # noqa: BLE001 - nobody else would hear of it
                warn(
                    "fathom: a snapshot could not be measured and recorded; the training goes on. "
                    f"{words_of(error)}"
                )

    def end(self) -> None:
        """Say that it is done, and let go of all that it was made from."""
        self._steps = self._thread = None
        self._computed.set()
        self._done.set()

    def _wait_for(self, event: threading.Event, timeout: float | None = None) -> bool:
        # While Python ends a sink may be called in this thread, and would wait for ever for itself.
        if event.is_set() or self._thread == threading.get_ident():
            return True
        if self._process != os.getpid():
            raise ClosedError(
                "Snapshot: readings must be waited for in the process that took it, got a forked "
                "child. Call wait() before the fork."
            )
        return event.wait(timeout)


class Background:
    """Does the works of one monitor in the order in which they came; holds no monitor."""

    def __init__(self) -> None:
        """Begin without anything to do."""
        # A forked child has none of its parent's threads, and may not even touch the lock.
        self._process = os.getpid()
        # A monitor may be garbage-collected in the middle of anything, in the same thread.
        self._lock = threading.RLock()
        self._last: Work | None = None
        self._closing: Callable[[], None] | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, work: Work) -> None:
        """Have a window measured and recorded after those before it, and return.

        Args:
            work: What is to be done.
        """
        before = self._under_way()
        thread = threading.Thread(target=self._do, args=(work, before), name="fathom")
        try:
            thread.start()
        except RuntimeError:
            # There are no new threads while Python ends.
            self._do(work, before, own_thread=False)
        self._last, self._thread = work, thread

    def wait(self) -> None:
        """Wait until everything is done, and give the warnings that came up."""
        waited = None
        # A signal handler may have more begun meanwhile.
        while self._last is not waited and self._process == os.getpid():
            waited = self._last
            if waited is not None:
                waited.wait()

    def end(self, closing: Callable[[], None], *, waits: bool = True) -> None:
        """Have this done after everything else: here, or where that could wait for ever, there.

        Args:
            closing: What is to be done.
            waits: Wait until it is done there, within limits; not in a thread that it waits for.
        """
        if self._process != os.getpid():
            closing()
            return
        with self._lock:
            busy = self._under_way() is not None
            if busy:
                self._closing = closing
        if not busy:
            closing()
        elif waits and threading.current_thread() is not self._thread:
            self._closed.wait(_PATIENCE)

    def _under_way(self) -> Work | None:
        return None if self._last is None or self._last.done else self._last

    def _do(self, work: Work, before: Work | None, *, own_thread: bool = True) -> None:
        try:
            if own_thread:
                _take_one_core()
            work.run(before)
        finally:
            # Whatever comes, nobody is to wait for it for ever.
            with self._lock:
                work.end()
                closing, self._closing = self._closing, None
        if closing is not None:
            try:
                closing()
            finally:
                self._closed.set()


def _take_one_core() -> None:
    """Let this thread compute by itself, whatever the number of threads of the training.

    Two threads that wait for each other at every step take more of what the training could use: of
    width 500, 26 to 30 ms of processor time, and one 12 to 14. `torch.set_num_threads` is no way to
    say so: it also sets how many threads those that begin later have, and the rounding of their
    sums.
    """
    # Asked for once, the training's number does not come over this thread later.
    torch.get_num_threads()
    # Each is there where PyTorch was built with it; both are of the calling thread alone.
    for name in ("omp_set_num_threads", "MKL_Set_Num_Threads_Local"):
        with suppress(AttributeError, OSError):
            getattr(ctypes.CDLL(torch._C.__file__), name)(1)
