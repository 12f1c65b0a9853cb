"""Open a run to read it, without changing anything of it."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from fathom.errors import RunError, RunNotFoundError
from fathom.store.lock import is_written
from fathom.store.schema import DATABASE, connect, holds_run

_WAL, _JOURNAL = f"{DATABASE}-wal", f"{DATABASE}-journal"

# The last bytes of a journal that names another file, which SQLite would delete. A run has none.
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")

Signature = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection to a run.

    Attributes:
        connection: To its database, or to a copy of it.
        frozen: What the files were when they were taken as finished, which SQLite then does not
            look at again; None where it does.
    """

    connection: sqlite3.Connection
    frozen: Signature | None

    def is_outdated(self, folder: Path) -> bool:
        """Tell whether a finished run has been gone on with since."""
        return self.frozen is not None and self.frozen != signature(folder)


def opened(folder: Path) -> Opened:
    """Open a run.

    A finished one is read as a file that does not change, so that SQLite puts nothing beside it.

    Args:
        folder: The run's folder.

    Returns:
        The connection.

    Raises:
        RunNotFoundError: If there is no run.
        RunError: If it cannot be read.
    """
    database = folder / DATABASE
    if not database.is_file():
        raise RunNotFoundError(
            f"open_run: path must be the folder of a run, got {folder}, which holds none."
            f"{runs_near(folder)}"
        )
    try:
        return _opened(folder, database)
    except RunError:
        raise
    except (sqlite3.Error, UnicodeError, OSError) as error:
        raise RunError(f"open_run: {database} must be readable, got: {error}.") from error


def signature(folder: Path) -> Signature:
    """Return what tells whether the files of a run have been written since.

    Args:
        folder: The run's folder.

    Returns:
        Of each file that is there its place, size and time.
    """
    found = []
    for name in (DATABASE, _WAL, _JOURNAL):
        with suppress(OSError):
            status = (folder / name).stat()
            found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


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


def _opened(folder: Path, database: Path) -> Opened:
    before, was_killed = signature(folder), _is_there(folder, _JOURNAL)
    if not (is_written(folder) or _is_there(folder, _WAL) or was_killed):
        return Opened(_connected(folder, database, "ro&immutable=1"), before)
    # A training that was killed in the middle of a transaction leaves one that is to be undone
    # first; beside a training that writes, a journal is no trouble.
    with suppress(sqlite3.OperationalError) if was_killed else nullcontext():
        return Opened(_connected(folder, database, "ro"), None)
    return Opened(_undone(folder), before)


def _is_there(folder: Path, name: str) -> bool:
    with suppress(OSError):
        return (folder / name).stat().st_size > 0
    return False


def _undone(folder: Path) -> sqlite3.Connection:
    """Return a connection to a copy in which the unfinished transaction is undone."""
    journal = folder / _JOURNAL
    with journal.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - len(_NAMES_ANOTHER), 0))
        if file.read() == _NAMES_ANOTHER:
            raise RunError(
                f"open_run: {journal} must be of this run alone, got one that names another file. "
                "It is none of fathom's; remove it."
            )
    with tempfile.TemporaryDirectory(prefix="fathom-") as scratch:
        for name in (DATABASE, _JOURNAL):
            shutil.copyfile(folder / name, Path(scratch) / name)
        copy = Path(scratch) / DATABASE
        _connected(folder, copy, "rw").close()
        held = _connected(folder, copy, "ro&immutable=1")
        try:
            whole = sqlite3.connect(":memory:", check_same_thread=False)
            whole.text_factory = held.text_factory
            held.backup(whole)
        finally:
            held.close()
    return whole


def _connected(folder: Path, database: Path, mode: str) -> sqlite3.Connection:
    connection = connect(database, mode=mode)
    try:
        if not holds_run(connection, folder, where="open_run: path"):
            raise RunNotFoundError(
                f"open_run: path must be the folder of a run, got {folder}, which holds none yet."
            )
    except BaseException:
        connection.close()
        raise
    return connection
