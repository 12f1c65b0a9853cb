"""A run's database, opened to read: its records, checked, and its faults in words."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fathom.errors import ClosedError, DamagedRecordError, RunError, RunNotFoundError, warn
from fathom.store.content import Key, content
from fathom.store.schema import DATABASE, connect, has_summaries, holds_run


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
        self._connection: sqlite3.Connection | None = _connect(folder)
        self._has_summaries = has_summaries(self._connection)
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
        if self._connection is None:
            raise ClosedError(f"Run: {self.folder} must be open, got a closed run. Open it again.")
        try:
            return self._connection.execute(query, arguments).fetchall()
        except (sqlite3.Error, UnicodeError) as error:
            raise RunError(
                f"Run: {self.folder / DATABASE} must be readable, got: {error}. What can be saved "
                f"is saved with: sqlite3 {DATABASE} .recover"
            ) from error

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

    def version(self) -> int:
        """Return a number that changes when another connection has written."""
        return int(self.rows("PRAGMA data_version")[0][0])

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

    def summaries(self, steps: Sequence[int]) -> dict[int, bytes]:
        """Return the summaries of some steps, as far as they are there and whole.

        Args:
            steps: Recorded steps.

        Returns:
            Step to its packed numbers.
        """
        if not self._has_summaries:
            return {}
        query = f"SELECT step, numbers, checksum FROM summaries WHERE step IN ({_marks(steps)})"
        return {
            step: blob
            for step, blob, seal in self.rows(query, tuple(steps))
            if _is_whole(("summary", step), "{}", seal, blob)
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
                if not _is_whole(("summary", step), "{}", seal, blob):
                    yield "summary", step

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _is_whole(key: Key, text: object, checksum: object, blob: object = b"") -> bool:
    try:
        content(key, text, checksum, blob)
    except DamagedRecordError:
        return False
    return True


def _connect(path: Path) -> sqlite3.Connection:
    database = path / DATABASE
    if not database.is_file():
        raise RunNotFoundError(
            f"open_run: path must be the folder of a run, got {path}, which holds none."
            f"{runs_near(path)}"
        )
    try:
        try:
            return _opened(path, "ro")
        except sqlite3.OperationalError:
            if (path / f"{DATABASE}-journal").exists():
                # A training was killed in the middle of a transaction: SQLite undoes it first,
                # for which it has to write.
                _opened(path, "rw").close()
                return _opened(path, "ro")
            if (path / f"{DATABASE}-wal").exists():
                raise
            # A finished run in a read-only place, where SQLite cannot make the index of its WAL.
            return _opened(path, "ro&immutable=1")
    except (sqlite3.Error, UnicodeError) as error:
        raise RunError(f"open_run: {database} must be readable, got: {error}.") from error


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    connection = connect(path / DATABASE, mode=mode)
    try:
        if not holds_run(connection, path, where="open_run: path"):
            raise RunNotFoundError(
                f"open_run: path must be the folder of a run, got {path}, which holds none yet."
            )
    except BaseException:
        connection.close()
        raise
    return connection


def runs_near(path: Path) -> str:
    """Name some runs in, beside or usually near a path that holds none.

    Args:
        path: The path.

    Returns:
        A sentence after a space; empty where there are none.
    """
    places = (path, path / "runs", path.parent, Path("runs"))
    runs = sorted({str(found.parent) for place in places for found in place.glob(f"*/{DATABASE}")})
    more = ", ..." if len(runs) > 5 else ""
    return f" There are runs at {', '.join(runs[:5])}{more}." if runs else ""
