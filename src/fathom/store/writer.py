"""The one writer of a run: create or resume it, then one transaction a snapshot."""

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from fathom.errors import RunBusyError, RunError, RunExistsError, RunNotFoundError, warn
from fathom.reading import PHASES, LayerFacts
from fathom.settings import Settings
from fathom.snapshot import Snapshot
from fathom.spectral.moments import Moments
from fathom.store.analyses import remove_analyses
from fathom.store.covariances import remove_covariances, remove_unfinished, write_covariances
from fathom.store.fit import check_fit
from fathom.store.journal import journal_mode
from fathom.store.lock import writer_lock
from fathom.store.records import (
    layer_body,
    packed,
    reading_body,
    sealed,
    snapshot_body,
)
from fathom.store.schema import DATABASE, complete_tables, connect, create_tables, holds_run
from fathom.store.summary import WRITTEN, summary_of

_BUSY, _LOCKED = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED


class Writer:
    """Appends the snapshots of one training to a run."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: FileLock):
        """Take over an open run; use `Writer.open`.

        Args:
            folder: The run's folder.
            connection: To its database.
            lock: Held, so that nobody else writes.
        """
        self.folder = folder
        self._connection: sqlite3.Connection | None = connection
        self._lock = lock
        # Snapshots that are not on disk yet, because another program held the database.
        self._waiting: list[tuple[Snapshot, Mapping[str, Any], list[LayerFacts]]] = []
        self._place = (folder / DATABASE).stat().st_ino
        row = connection.execute("SELECT max(step) FROM snapshots").fetchone()
        self.last_step: int | None = row[0]

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        facts: Mapping[str, Any],
        settings: Settings,
        layers: Iterable[LayerFacts],
        resume: bool = False,
        resume_from: int | None = None,
    ) -> Self:
        """Create a run, or go on with one.

        Args:
            folder: Where it lies, or is to lie.
            facts: The model's class, versions and start time of this session.
            settings: What was asked for.
            layers: The watched layers.
            resume: Go on with the run that is there, if one is.
            resume_from: Drop what lies at this step or after it, first.

        Returns:
            A writer that holds the run's lock.

        Raises:
            RunExistsError: If there is a run, and `resume` is False.
            RunNotFoundError: If there is none, and `resume_from` is given.
            RunBusyError: If another process, or another monitor, writes it.
            RunError: If the folder cannot be written, or holds a run that does not fit.
        """
        folder = Path(folder)
        resume = resume or resume_from is not None
        if (folder / DATABASE).exists() and not resume:
            _refuse_existing(folder)
        if resume_from is not None and not (folder / DATABASE).exists():
            raise RunNotFoundError(
                f"watch: resume_from must come with a path that holds a run, got {folder}, which "
                "holds none. Pass resume=True to begin one where there is none."
            )
        _make_folder(folder)
        lock = writer_lock(folder)
        try:
            connection, is_new = _connect(folder)
            try:
                if not (is_new or resume):
                    _refuse_existing(folder)
                check_fit(connection, folder, settings, list(layers))
                _begin_session(connection, {**facts, "settings": settings.as_dict()}, resume_from)
                remove_unfinished(folder)
                if resume_from is not None:
                    remove_covariances(folder, from_step=resume_from)
                    remove_analyses(folder, from_step=resume_from)
                return cls(folder, connection, lock)
            except BaseException:
                connection.close()
                raise
        except BaseException as error:
            lock.release()
            if isinstance(error, sqlite3.Error | OSError) and not isinstance(error, RunError):
                raise RunError(
                    f"watch: run must be writable, got {folder}: {error}. Pass another path."
                ) from error
            raise

    def append(
        self,
        snapshot: Snapshot,
        *,
        layers: Iterable[LayerFacts],
        covariances: Mapping[tuple[str, str], Moments] | None = None,
    ) -> None:
        """Record a snapshot: all of it or, where that fails, nothing.

        Args:
            snapshot: With a step after the last one.
            layers: The observed layers in execution order.
            covariances: Moments to keep too, by phase and layer.

        Raises:
            RunBusyError: If another program holds the database; it is written with the next.
            RunError: If it cannot be written.
        """
        assert self._connection is not None
        body = snapshot_body(snapshot, time=time.time())
        try:
            if covariances:
                body["covariances"] = write_covariances(self.folder, snapshot.step, covariances)
        except OSError as error:
            raise RunError(f"{self.folder} cannot be written: {error}") from error
        self._waiting.append((snapshot, body, list(layers)))
        self._write_waiting(self._connection)

    def _write_waiting(self, connection: sqlite3.Connection) -> None:
        try:
            self._check_place()
            while self._waiting:
                snapshot, body, layers = self._waiting[0]
                with connection as transaction:
                    query = "SELECT count(*) FROM snapshots WHERE step = ?"
                    # It is there if an interruption came right after it had been written.
                    if not transaction.execute(query, (snapshot.step,)).fetchone()[0]:
                        _insert_snapshot(transaction, snapshot, body)
                        _insert_summary(transaction, snapshot, _positions(transaction, layers))
                self._waiting.pop(0)
        except Exception as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code in (_BUSY, _LOCKED):
                raise RunBusyError(f"{self.folder} is held by another program") from error
            steps = ", ".join(str(waiting.step) for waiting, *_ in self._waiting)
            self._waiting.clear()
            raise RunError(
                f"{self.folder} cannot be written, and of steps {steps or 'none'} nothing is kept: "
                f"{error}"
            ) from error

    def _check_place(self) -> None:
        # A deleted database would go on taking snapshots that nobody can ever read.
        try:
            place = (self.folder / DATABASE).stat().st_ino
        except OSError as error:
            raise RunError(f"{self.folder / DATABASE} is gone: {error.strerror}") from error
        if place != self._place:
            raise RunError(f"{self.folder / DATABASE} was replaced by another file")

    def close(self) -> None:
        """Close the run and let others write it; a second call does nothing."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            if self._waiting:
                self._write_waiting(connection)
        except RunError as error:
            warn(f"fathom: the last snapshots could not be recorded. {error}")
        finally:
            connection.close()
            self._lock.release()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RunError(
            f"watch: run must be a folder or a path where one can be made, got {folder}, which is "
            "or runs through a file. Pass another path."
        ) from error
    except OSError as error:
        raise RunError(
            f"watch: run must be writable, got {folder}: {error.strerror}. Pass another path."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(f"watch: run must be writable, got {folder}. Pass another path.")


def _refuse_existing(folder: Path) -> None:
    raise RunExistsError(
        f"watch: run must be a path that holds no run, got {folder}, which holds one. "
        "Pass resume=True to go on with it, or another path."
    )


def _connect(folder: Path) -> tuple[sqlite3.Connection, bool]:
    """Return a connection to the run's database, and whether it was made just now."""
    connection = connect(folder / DATABASE, mode="rwc")
    try:
        try:
            is_new = _prepare(connection, folder, journal_mode(folder))
        except sqlite3.OperationalError:
            # Some places refuse the shared memory of a WAL only when it is first used.
            is_new = _prepare(connection, folder, "delete")
    except BaseException:
        connection.close()
        raise
    return connection, is_new


def _prepare(connection: sqlite3.Connection, folder: Path, journal: str) -> bool:
    is_new = not holds_run(connection, folder, where="watch: run")
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute("PRAGMA synchronous = FULL")
    if is_new:
        create_tables(connection)
    else:
        complete_tables(connection)
    return is_new


def _begin_session(
    connection: sqlite3.Connection, body: Mapping[str, Any], resume_from: int | None
) -> None:
    with connection as transaction:
        if resume_from is not None:
            for table in ("snapshots", "readings", "summaries"):
                transaction.execute(f"DELETE FROM {table} WHERE step >= ?", (resume_from,))
        number = transaction.execute("SELECT count(*) FROM sessions").fetchone()[0]
        transaction.execute(
            "INSERT INTO sessions VALUES (?, ?, ?)", (number, *sealed(("session", number), body))
        )


def _insert_snapshot(
    transaction: sqlite3.Connection, snapshot: Snapshot, body: Mapping[str, Any]
) -> None:
    step = snapshot.step
    transaction.execute(
        "INSERT INTO snapshots VALUES (?, ?, ?)", (step, *sealed(("snapshot", step), body))
    )
    for phase in PHASES:
        for name, reading in snapshot.phase(phase).items():
            blob = packed(reading.eigenvalues)
            text, seal = sealed(("spectrum", step, phase, name), reading_body(reading), blob)
            transaction.execute(
                "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)",
                (step, phase, name, text, blob, seal),
            )


def _insert_summary(
    transaction: sqlite3.Connection, snapshot: Snapshot, positions: Mapping[str, int]
) -> None:
    readings = [each for phase in PHASES for each in snapshot.phase(phase).values()]
    blob = summary_of(readings, positions).tobytes()
    seal = sealed((WRITTEN, snapshot.step), {}, blob)[1]
    # The step may have been recorded before by a version that did not know of it.
    query = "INSERT OR REPLACE INTO summaries VALUES (?, ?, ?)"
    transaction.execute(query, (snapshot.step, blob, seal))


def _positions(transaction: sqlite3.Connection, layers: Iterable[LayerFacts]) -> dict[str, int]:
    """Return the position of every layer in the run, by name, after adding those that are new."""
    known = dict(transaction.execute("SELECT name, position FROM layers"))
    for facts in layers:
        if facts.name not in known:
            known[facts.name] = position = len(known)
            transaction.execute(
                "INSERT INTO layers VALUES (?, ?, ?, ?)",
                (facts.name, position, *sealed(("layer", facts.name), layer_body(facts))),
            )
    return known
