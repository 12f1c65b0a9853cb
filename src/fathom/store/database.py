"""A run's database, opened to read: its records, checked, and its faults in words."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fathom.errors import ClosedError, DamagedRecordError, RunError, warn
from fathom.store.content import Key, content
from fathom.store.opening import Opened, opened
from fathom.store.schema import DATABASE, has_summaries, limited
from fathom.store.summary import SUMMARIES, Summary, summary_from


class Database:
    """Reads the records of a run; what training adds meanwhile is there at the next read."""

    def __init__(self, folder: Path):
        """Open it.

        Args:
            folder: The run's folder.

        Raises:
            RunNotFoundError: If there is no run.
            RunError: If it cannot be read.
        """
        self.folder = folder
        self._opened: Opened | None = None
        self._times = 0
        self._open()
        self._told: set[Key] = set()

    def rows(self, query: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        """Return the rows of a query, all at once: a reader that lingers could block the writer.

        Args:
            query: In SQL.
            arguments: For its question marks.

        Returns:
            A tuple a row.

        Raises:
            ClosedError: If the run is closed.
            RunError: If the file itself is damaged.
        """
        if self._opened is None:
            raise ClosedError(f"Run: {self.folder} must be open, got a closed run. Open it again.")
        try:
            return self._fetched(self._opened, query, arguments)
        except (sqlite3.Error, UnicodeError) as error:
            raise RunError(
                f"Run: {self.folder / DATABASE} must be readable, got: {error}. What can be saved "
                f"is saved with: sqlite3 {DATABASE} .recover"
            ) from error

    def _fetched(self, now: Opened, query: str, arguments: tuple[object, ...]) -> list[Any]:
        # A finished run may be gone on with, also in the middle of a query.
        if not now.is_outdated(self.folder):
            try:
                return self._all(now, query, arguments)
            except sqlite3.Error:
                if not now.is_outdated(self.folder):
                    raise
        return self._all(self._open(), query, arguments)

    def _all(self, now: Opened, query: str, arguments: tuple[object, ...]) -> list[Any]:
        with limited(now.connection, self.folder):
            return now.connection.execute(query, arguments).fetchall()

    def _open(self) -> Opened:
        """Open the run, or open it anew."""
        self.close()
        opened_now = opened(self.folder)
        try:
            self._has_summaries = has_summaries(opened_now.connection)
        except BaseException as error:
            opened_now.connection.close()
            if isinstance(error, sqlite3.Error):
                raise RunError(
                    f"open_run: {self.folder / DATABASE} must be readable, got: {error}."
                ) from error
            raise
        self._opened = opened_now
        self._times += 1
        return opened_now

    def body(self, key: Key, text: object, checksum: object, blob: object = b"") -> dict[str, Any]:
        """Return the content of a record; of a damaged one, after one warning, nothing.

        Args:
            key: Its kind and key columns.
            text: Its body.
            checksum: Its checksum.
            blob: Its packed numbers.

        Returns:
            The content, empty where it is damaged.
        """
        try:
            return content(key, text, checksum, blob)
        except DamagedRecordError as error:
            if key not in self._told:
                self._told.add(key)
                warn(f"{self.folder}: {error}")
            return {}

    def version(self) -> tuple[int, int]:
        """Return what changes when another connection has written."""
        version = int(self.rows("PRAGMA data_version")[0][0])
        return self._times, version

    def seals(self) -> dict[int, object]:
        """Return what tells each recorded step from one that was recorded anew, by step."""
        return dict(self.rows("SELECT step, checksum FROM snapshots"))

    def snapshots(self, steps: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return what is kept of some steps beside their readings; of damaged ones nothing.

        Args:
            steps: Recorded steps.

        Returns:
            Step to content, in the order of `steps`.
        """
        query = f"SELECT step, body, checksum FROM snapshots WHERE step IN ({_marks(steps)})"
        found = {step: rest for step, *rest in self.rows(query, tuple(steps))}
        return {
            step: self.body(("snapshot", step), *found[step]) for step in steps if step in found
        }

    def summaries(self, steps: Sequence[int]) -> dict[int, Summary]:
        """Return the summaries of some steps, as far as they are there and whole.

        Args:
            steps: Recorded steps.

        Returns:
            Step to its numbers.
        """
        if not self._has_summaries:
            return {}
        query = f"SELECT step, numbers, checksum FROM summaries WHERE step IN ({_marks(steps)})"
        return {
            step: summary_from(kind, blob)
            for step, blob, seal in self.rows(query, tuple(steps))
            if (kind := _kind_of_summary(step, seal, blob))
        }

    def damaged(self) -> Iterator[Key]:
        """Go through the keys of all records that are not as they were written.

        Yields:
            The kind and key columns of each, and `file` with what SQLite finds wrong in the file.
        """
        for (finding,) in self.rows("PRAGMA integrity_check"):
            if finding != "ok":
                yield "file", finding
        for table, kind, column in (
            ("sessions", "session", "number"),
            ("layers", "layer", "name"),
            ("snapshots", "snapshot", "step"),
        ):
            for key, text, checksum in self.rows(f"SELECT {column}, body, checksum FROM {table}"):
                if not _is_whole((kind, key), text, checksum):
                    yield kind, key
        query = (
            "SELECT step, phase, layer, body, checksum, eigenvalues FROM readings WHERE step = ?"
        )
        for (step,) in self.rows("SELECT DISTINCT step FROM readings ORDER BY step"):
            for *columns, text, checksum, blob in self.rows(query, (step,)):
                if not _is_whole(("spectrum", *columns), text, checksum, blob):
                    yield ("spectrum", *columns)
        if self._has_summaries:
            for step, blob, seal in self.rows("SELECT step, numbers, checksum FROM summaries"):
                if not _kind_of_summary(step, seal, blob):
                    yield "summary", step

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._opened is not None:
            self._opened.connection.close()
            self._opened = None


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _kind_of_summary(step: object, checksum: object, blob: object) -> str:
    """Return which kind of summary a record is; nothing if it is none."""
    kinds = (kind for kind in SUMMARIES if _is_whole((kind, step), "{}", checksum, blob))
    return next(kinds, "")


def _is_whole(key: Key, text: object, checksum: object, blob: object = b"") -> bool:
    try:
        content(key, text, checksum, blob)
    except DamagedRecordError:
        return False
    return True
