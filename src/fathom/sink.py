"""What a sink is, and how snapshots reach it: one that fails is switched off, nothing else is."""

from contextlib import suppress
from typing import Protocol

from fathom.errors import warn
from fathom.snapshot import Snapshot


class Sink(Protocol):
    """Another place where the numbers go."""

    def write(self, snapshot: Snapshot) -> None:
        """Take one snapshot, in a thread of fathom's own: the training goes on meanwhile."""

    def close(self) -> None:
        """Write out what is left; no more will come."""


def write_all(sinks: list[Sink], snapshot: Snapshot) -> None:
    """Give a snapshot to every sink; never raise.

    Args:
        sinks: The sinks that work. One that fails is taken out, with one warning.
        snapshot: What was measured.
    """
    for sink in list(sinks):
        try:
            sink.write(snapshot)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a dead sink may not end the training
            sinks.remove(sink)
            with suppress(Exception):
                sink.close()
            warn(
                f"fathom: sink {type(sink).__name__} failed at step {snapshot.step} and is "
                f"switched off; the run is not affected. {type(error).__name__}: {error}"
            )


def close_all(sinks: list[Sink]) -> None:
    """Close every sink; never raise.

    Args:
        sinks: The sinks that work.
    """
    for sink in sinks:
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001 - a dead sink may not end the training
            warn(
                f"fathom: sink {type(sink).__name__} could not be closed; the run is not affected. "
                f"{type(error).__name__}: {error}"
            )
