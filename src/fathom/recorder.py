"""Where snapshots go: the run on disk, and the sinks."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fathom.errors import RunBusyError, warn
from fathom.reading import LayerFacts
from fathom.sink import Sink, close_all, write_all
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
        self._sinks = list(sinks)
        # A forked child has copies of the run and the sinks, but they are its parent's.
        self._process = os.getpid()

    @property
    def folder(self) -> Path | None:
        """Where the run lies, while it is written."""
        return None if self._writer is None else self._writer.folder

    def record(
        self,
        snapshot: Snapshot,
        order: Iterable[str],
        moments: Mapping[tuple[str, str], Moments],
    ) -> None:
        """Write a snapshot everywhere.

        Args:
            snapshot: What was measured.
            order: The layers in execution order.
            moments: By layer and phase, those to keep the covariances of.
        """
        if self._process != os.getpid():
            return
        if self._writer is not None:
            self._append(self._writer, snapshot, order, moments)
        write_all(self._sinks, snapshot)

    def close(self) -> None:
        """Close the run and the sinks."""
        if self._process != os.getpid():
            return
        if self._writer is not None:
            self._writer.close()
        close_all(self._sinks)

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
