"""Where snapshots go: the run on disk, and the sinks."""

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fathom.errors import RunBusyError, tell, warn
from fathom.reading import LayerFacts
from fathom.sink import Feed, Sink, end_all
from fathom.snapshot import Snapshot
from fathom.spectral.moments import Moments
from fathom.store.writer import Writer


class Recorder:
    """Records snapshots, in the process that made it; none of it may end the user's training."""

    def __init__(self, writer: Writer | None, sinks: Sequence[Sink]):
        """Say where snapshots go.

        Args:
            writer: The run, if there is one.
            sinks: Where the numbers go too.
        """
        self._writer = writer
        self._messages: deque[str] = deque()
        # Each once: two threads would write to one that is there twice.
        distinct = {id(sink): sink for sink in sinks}.values()
        self._feeds = [Feed(sink, self._messages) for sink in distinct]
        # A forked child has copies of the run and the sinks, but they are its parent's.
        self._process = os.getpid()

    @property
    def folder(self) -> Path | None:
        """Where the run lies, while it is written."""
        return None if self._writer is None else self._writer.folder

    @property
    def is_in_sink(self) -> bool:
        """Whether a sink is the caller."""
        return any(feed.is_here for feed in self._feeds)

    def start(self) -> None:
        """Have a thread for each sink: while Python ends there would be no new ones."""
        if self._process == os.getpid():
            for feed in self._feeds:
                feed.start()

    def record(
        self,
        snapshot: Snapshot,
        order: Iterable[str],
        moments: Mapping[tuple[str, str], Moments],
    ) -> None:
        """Write a snapshot to the run, and hand it to the sinks, which may take longer.

        Args:
            snapshot: What was measured.
            order: The layers in execution order.
            moments: By layer and phase, those to keep the covariances of.
        """
        if self._process != os.getpid():
            return
        if self._writer is not None:
            self._append(self._writer, snapshot, order, moments)
        for feed in self._feeds:
            feed.give(snapshot)

    def tell(self) -> None:
        """Give the warnings of the sinks that came up so far, each once."""
        tell(self._messages)

    def close_sinks(self) -> None:
        """Wait for the sinks, within limits, and close them; again does no harm."""
        if self._process == os.getpid():
            end_all(self._feeds)
            self.tell()

    def close(self) -> None:
        """Close the run and the sinks."""
        if self._process != os.getpid():
            return
        if self._writer is not None:
            self._writer.close()
        self.close_sinks()

    def _append(
        self,
        writer: Writer,
        snapshot: Snapshot,
        order: Iterable[str],
        moments: Mapping[tuple[str, str], Moments],
    ) -> None:
        observed: dict[str, LayerFacts] = {}
        for readings in (snapshot.train, snapshot.eval):
            observed |= {name: reading.layer for name, reading in readings.items()}
        try:
            writer.append(
                snapshot,
                layers=[observed[name] for name in order if name in observed],
                covariances={
                    (phase, name): each
                    for (name, phase), each in moments.items()
                    if name in snapshot.phase(phase)
                },
            )
        except RunBusyError as error:
            warn(
                f"fathom: step {snapshot.step} could not be recorded yet; it is tried again at the "
                f"next snapshot, and at close. {error}"
            )
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the user's training
            writer.close()
            self._writer = None
            warn(
                f"fathom: step {snapshot.step} could not be recorded and recording stops; training "
                f"goes on, and snapshots are still returned. {error}"
            )
