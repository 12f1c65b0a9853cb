"""The tables of a run, and how to tell a run from other databases."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from fathom.errors import RunError, RunNotFoundError

DATABASE = "run.sqlite"

_APPLICATION_ID = 0x4654484D  # "FTHM"
_VERSION = 1

# Without row numbers a reading lies under its key itself: no index beside the table, which no
# checksum covers, can hide it.
_TABLES = """
CREATE TABLE sessions (number INTEGER PRIMARY KEY, body TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE layers (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, body TEXT NOT NULL, checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE snapshots (step INTEGER PRIMARY KEY, body TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE readings (
    step INTEGER NOT NULL, phase TEXT NOT NULL, layer TEXT NOT NULL,
    body TEXT NOT NULL, eigenvalues BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (step, phase, layer)
) WITHOUT ROWID;
"""

# What views show of every step at once, so that they need not read every spectrum. Runs of earlier
# versions have none, and are read all the same.
_SUMMARIES = """
CREATE TABLE IF NOT EXISTS summaries (
    step INTEGER PRIMARY KEY, numbers BLOB NOT NULL, checksum INTEGER NOT NULL
);
"""

# A column that is generated is none of fathom's either: to read it is to compute it.
_PLAIN = re.compile(r"CREATE (TABLE|INDEX|UNIQUE INDEX) (?!.*\bAS\b)", re.DOTALL | re.IGNORECASE)

# Of SQLite's own small steps: to read a row takes some ten, and a row has more bytes than one.
_STEPS_A_BYTE, _STEPS_AT_ONCE = 100, 1_000_000


def connect(database: Path, *, mode: str) -> sqlite3.Connection:
    """Open a database.

    Args:
        database: The file.
        mode: As in SQLite's file names: `ro`, `rw` or `rwc`, and further parameters.

    Returns:
        A connection that any thread may use, one at a time, and that waits 5 s for others.

    Raises:
        sqlite3.Error: If it cannot be opened.
    """
    uri = f"{database.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=5, check_same_thread=False)
    # Text that a flipped byte has made invalid comes out wrong, and its checksum finds it.
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


@contextmanager
def limited(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Interrupt, inside the block, what takes longer than a file of that size can need.

    A file of a few pages that name one another has SQLite go through them for ever.

    Args:
        connection: To the database.
        path: Its folder.

    Yields:
        Nothing; what is interrupted raises `sqlite3.OperationalError`.
    """
    size = 0
    for name in (DATABASE, f"{DATABASE}-wal"):
        with suppress(OSError):
            size += (path / name).stat().st_size
    most, calls = 1 + size * _STEPS_A_BYTE // _STEPS_AT_ONCE, count()
    connection.set_progress_handler(lambda: next(calls) >= most, _STEPS_AT_ONCE)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def holds_run(connection: sqlite3.Connection, path: Path, *, where: str) -> bool:
    """Tell whether a database is a run of this version.

    Args:
        connection: To the database.
        path: Its folder, for the message.
        where: The function and argument, for the message.

    Returns:
        True for a run, False for an empty database.

    Raises:
        RunNotFoundError: If it is another program's.
        RunError: If it is a run of another version, or has what would be computed when it is read.
        sqlite3.Error: If it cannot be read.
    """
    with limited(connection, path):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version == application == tables == 0:
        return False
    if application != _APPLICATION_ID:
        raise RunNotFoundError(
            f"{where} must be the folder of a run, got {path}, whose {DATABASE} is a database of "
            "another program. Pass another path."
        )
    if version != _VERSION:
        raise RunError(
            f"{where} must be of schema version {_VERSION}, got {version} in {path}. "
            "Use the version of fathom that wrote it."
        )
    _check_plain(connection, path, where=where)
    return True


def _check_plain(connection: sqlite3.Connection, path: Path, *, where: str) -> None:
    """Refuse views, triggers and the like: they would have the reader do whatever they say."""
    # What SQLite goes by is this text, whatever stands in the columns beside it.
    with limited(connection, path):
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
        texts = connection.execute(query).fetchall()
    for (text,) in texts:
        if not (isinstance(text, str) and _PLAIN.match(text)):
            raise RunError(
                f"{where} must hold plain tables, got {str(text)[:60]!r} in {path / DATABASE}. "
                "It is none of fathom's; remove it to read the run."
            )


def create_tables(connection: sqlite3.Connection) -> None:
    """Make an empty database a run, all at once.

    Args:
        connection: To the database.
    """
    connection.executescript(
        f"BEGIN; {_TABLES} {_SUMMARIES} PRAGMA application_id = {_APPLICATION_ID}; "
        f"PRAGMA user_version = {_VERSION}; COMMIT;"
    )


def complete_tables(connection: sqlite3.Connection) -> None:
    """Give a run of an earlier version what this one keeps more.

    Args:
        connection: To the database.
    """
    connection.execute(_SUMMARIES)


def has_summaries(connection: sqlite3.Connection) -> bool:
    """Tell whether a run is of a version that kept summaries."""
    query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'summaries'"
    return bool(connection.execute(query).fetchone()[0])
