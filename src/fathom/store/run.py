"""Read a run, also while it is still being written."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fathom.errors import (
    ClosedError,
    DamagedRecordError,
    RunError,
    RunNotFoundError,
    choose,
    warn,
)
from fathom.snapshot import PHASES, LayerFacts, Reading, Snapshot
from fathom.spectral.spectrum import Spectrum, second_moment_rankme
from fathom.spectral.statistics import check_threshold
from fathom.spectral.table import check_statistic
from fathom.store.covariances import read_covariance
from fathom.store.records import (
    DATABASE,
    SCHEMA_VERSION,
    layer_facts,
    reading_of,
    unsealed,
)


def open_run(path: str | os.PathLike[str]) -> "Run":
    """Open a run to read it; it may still be growing.

    Args:
        path: The folder that was given to `fathom.watch`.

    Returns:
        The run. Each of its properties reads what is on disk at that moment.

    Raises:
        RunNotFoundError: If there is no run.
        RunError: If it cannot be read.

    Example:
        >>> import fathom, tempfile, torch
        >>> folder = tempfile.mkdtemp()
        >>> model = torch.nn.Linear(3, 2)
        >>> with fathom.watch(model, folder + "/run") as monitor:
        ...     _ = model(torch.randn(10, 3))
        ...     _ = monitor.snapshot(step=0)
        >>> fathom.open_run(folder + "/run").steps
        [0]
    """
    return Run(Path(path))


class Run:
    """Everything recorded for one training."""

    def __init__(self, path: Path):
        """Open a run; use `open_run`.

        Args:
            path: Its folder.

        Raises:
            RunNotFoundError: If there is no run.
            RunError: If it cannot be read.
        """
        self.path = path
        self._connection: sqlite3.Connection | None = _connect(path)
        self._told: set[str] = set()

    @property
    def steps(self) -> list[int]:
        """The recorded steps, ascending."""
        return [step for (step,) in self._rows("SELECT step FROM snapshots ORDER BY step")]

    @property
    def layers(self) -> list[str]:
        """The names of the observed layers, in execution order."""
        return list(self.layer_facts)

    @property
    def layer_facts(self) -> dict[str, LayerFacts]:
        """What is known of each observed layer, by name, in execution order."""
        facts = {}
        query = "SELECT name, body, checksum FROM layers ORDER BY position"
        for name, text, checksum in self._rows(query):
            body = self._body(("layer", name), text, checksum)
            facts[name] = layer_facts(name, body) if body else _unknown_layer(name)
        return facts

    @property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """The user's metrics by name, each (steps,); nan where a step did not give one."""
        bodies = [self._snapshot_body(step).get("metrics", {}) for step in self.steps]
        names = dict.fromkeys(name for body in bodies for name in body)
        return {
            name: np.array([body.get(name, np.nan) for body in bodies], dtype=np.float64)
            for name in names
        }

    @property
    def facts(self) -> dict[str, Any]:
        """The model's class, versions, settings and start time of the first session."""
        return next(iter(self.sessions), {})

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """The facts of each time that the run was begun or resumed."""
        rows = self._rows("SELECT number, body, checksum FROM sessions ORDER BY number")
        return [self._body(("session", number), text, seal) for number, text, seal in rows]

    @property
    def damaged(self) -> list[str]:
        """The names of all records that are not as they were written; reads the whole run."""
        names = []
        for key, text, checksum, blob in self._records():
            try:
                unsealed(key, text, checksum, blob)
            except DamagedRecordError:
                names.append(" ".join(map(str, key)))
        return names

    def statistic(
        self, name: str, *, phase: str = "eval", threshold: float | None = None
    ) -> NDArray[np.float64]:
        """Return one statistic of every layer at every step, recomputed from the spectra.

        Args:
            name: One of `fathom.STATISTICS`.
            phase: `train` or `eval`.
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.

        Returns:
            (steps, layers), in the order of `steps` and `layers`; nan where there is no reading,
            where it is damaged, or where the statistic was not measured.

        Raises:
            ArgumentError: If the statistic, the phase or the threshold is none.
        """
        check_statistic(name, where="Run.statistic: name")
        choose(phase, PHASES, where="Run.statistic: phase")
        if threshold is not None:
            check_threshold(threshold, where="Run.statistic")
        rows = {step: row for row, step in enumerate(self.steps)}
        columns = {layer: column for column, layer in enumerate(self.layers)}
        values = np.full((len(rows), len(columns)), np.nan)
        for step, reading in self._readings("WHERE phase = ?", (phase,)):
            if step in rows and reading.layer.name in columns:
                value = self._statistic(name, step, reading, threshold)
                values[rows[step], columns[reading.layer.name]] = value
        return values

    def spectrum(self, layer: str, *, step: int | None = None, phase: str = "eval") -> Spectrum:
        """Return the eigenvalues of one layer at one step.

        Args:
            layer: Its name.
            step: The step; None for the last.
            phase: `train` or `eval`.

        Returns:
            The spectrum; every function of eigenvalues takes it as it is.

        Raises:
            ArgumentError: If there is no such phase.
            RunNotFoundError: If there is no such reading.
            DamagedRecordError: If it is not as it was written.
        """
        choose(phase, PHASES, where="Run.spectrum: phase")
        step = self._step(step, where="Run.spectrum")
        query = (
            "SELECT body, checksum, eigenvalues FROM readings "
            "WHERE step = ? AND phase = ? AND layer = ?"
        )
        found = list(self._rows(query, (step, phase, layer)))
        if not found:
            raise RunNotFoundError(
                f"Run.spectrum: layer must be one with a reading, got {layer!r}, which has none "
                f"at step {step} in {phase}. There are: {', '.join(self.layers)}."
            )
        text, checksum, blob = found[0]
        body = unsealed(("spectrum", step, phase, layer), text, checksum, blob)
        return reading_of(_unknown_layer(layer), phase, body, blob).spectrum

    def covariance(
        self, layer: str, *, step: int | None = None, phase: str = "eval"
    ) -> tuple[Tensor, Tensor]:
        """Return the covariance of one layer at one step, of a run with `keep="covariance"`.

        Args:
            layer: Its name.
            step: The step; None for the last.
            phase: `train` or `eval`.

        Returns:
            (d, d) covariance with divisor n and (d,) mean, float64, in activation units.

        Raises:
            ArgumentError: If there is no such phase.
            RunNotFoundError: If none was kept.
            DamagedRecordError: If it is not as it was written.
        """
        choose(phase, PHASES, where="Run.covariance: phase")
        step = self._step(step, where="Run.covariance")
        kept = self._snapshot_body(step).get("covariances")
        if kept is None:
            raise RunNotFoundError(
                f"Run.covariance: step must be one with covariances, got {step}, which has none. "
                'Watch with keep="covariance" to keep them.'
            )
        return read_covariance(self.path, kept, phase, layer)

    def snapshot(self, step: int | None = None, *, threshold: float | None = None) -> Snapshot:
        """Return all readings of one step, as `monitor.snapshot` did; damaged ones are left out.

        Args:
            step: The step; None for the last.
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.

        Returns:
            The snapshot.

        Raises:
            RunNotFoundError: If the run has no such step.
            ArgumentError: If the threshold is outside (0, 1].
        """
        if threshold is not None:
            check_threshold(threshold, where="Run.snapshot")
        step = self._step(step, where="Run.snapshot")
        body = self._snapshot_body(step)
        phases: dict[str, dict[str, Reading]] = {phase: {} for phase in PHASES}
        for _step, reading in self._readings("WHERE step = ?", (step,)):
            if threshold is not None:
                reading = replace(reading, threshold=threshold)
            phases[reading.phase][reading.layer.name] = reading
        order = {layer: position for position, layer in enumerate(self.layers)}
        for phase in PHASES:
            readings = phases[phase]
            names = sorted(readings, key=lambda name: order.get(name, len(order)))
            phases[phase] = {name: readings[name] for name in names}
        return Snapshot(
            step=step,
            metrics=body.get("metrics", {}),
            train=phases["train"],
            eval=phases["eval"],
            unobserved=tuple(body.get("unobserved", ())),
            disabled=body.get("disabled", {}),
            output_layer=body.get("output_layer"),
        )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        """Use the run in a `with` block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it at the end of the block."""
        self.close()

    def __repr__(self) -> str:
        """Say in a line what is inside."""
        return f"Run({str(self.path)!r}: {len(self.steps)} steps, {len(self.layers)} layers)"

    def _step(self, step: int | None, *, where: str) -> int:
        steps = self.steps
        if not steps:
            raise RunNotFoundError(
                f"{where}: run must hold a snapshot, got {self.path}, which has none yet. "
                "Call monitor.snapshot(step) after an epoch."
            )
        if step is None:
            return steps[-1]
        if step not in steps:
            raise RunNotFoundError(
                f"{where}: step must be one of the run, got {step}. "
                f"It has {len(steps)}, from {steps[0]} to {steps[-1]}."
            )
        return step

    def _statistic(self, name: str, step: int, reading: Reading, threshold: float | None) -> float:
        numbers = reading.spectrum.statistics(threshold or reading.threshold)
        if name in numbers:
            return numbers[name]
        # RankMe that nobody asked for then can still be had where the covariances were kept.
        try:
            covariance, mean = self.covariance(reading.layer.name, step=step, phase=reading.phase)
        except RunError:
            return float("nan")
        return second_moment_rankme(covariance, mean, rows=reading.rows)

    def _snapshot_body(self, step: int) -> dict[str, Any]:
        query = "SELECT body, checksum FROM snapshots WHERE step = ?"
        for text, checksum in self._rows(query, (step,)):
            return self._body(("snapshot", step), text, checksum)
        return {}

    def _readings(self, where: str, arguments: tuple[object, ...]) -> Iterator[tuple[int, Reading]]:
        facts = self.layer_facts
        query = f"SELECT step, phase, layer, body, checksum, eigenvalues FROM readings {where}"
        for step, phase, layer, text, checksum, blob in self._rows(query, arguments):
            body = self._body(("spectrum", step, phase, layer), text, checksum, blob)
            if body:
                layer_of = facts.get(layer, _unknown_layer(layer))
                yield step, reading_of(layer_of, phase, body, blob)

    def _records(self) -> Iterator[tuple[tuple[object, ...], object, object, object]]:
        for table, kind, key in (
            ("sessions", "session", "number"),
            ("layers", "layer", "name"),
            ("snapshots", "snapshot", "step"),
        ):
            for value, text, checksum in self._rows(f"SELECT {key}, body, checksum FROM {table}"):
                yield (kind, value), text, checksum, b""
        query = "SELECT step, phase, layer, body, checksum, eigenvalues FROM readings"
        for *key_columns, text, checksum, blob in self._rows(query):
            yield ("spectrum", *key_columns), text, checksum, blob

    def _body(
        self, key: tuple[object, ...], text: object, checksum: object, blob: object = b""
    ) -> dict[str, Any]:
        """Return the content of a record; of a damaged one, after one warning, nothing."""
        try:
            return dict(unsealed(key, text, checksum, blob))
        except DamagedRecordError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                warn(f"{self.path}: {error}")
            return {}

    def _rows(self, query: str, arguments: tuple[object, ...] = ()) -> Iterator[Any]:
        if self._connection is None:
            raise ClosedError(f"Run: {self.path} must be open, got a closed run. Open it again.")
        try:
            yield from self._connection.execute(query, arguments)
        except sqlite3.Error as error:
            raise RunError(
                f"Run: {self.path / DATABASE} must be readable, got: {error}. What the file holds "
                "before the damage can be saved with: sqlite3 run.sqlite .recover"
            ) from error


def _unknown_layer(name: str) -> LayerFacts:
    return LayerFacts(name, kind="other", module="")


def _connect(path: Path) -> sqlite3.Connection:
    database = path / DATABASE
    if not database.is_file():
        raise RunNotFoundError(
            f"open_run: path must be the folder of a run, got {path}, which holds none."
            f"{_runs_below(path)}"
        )
    uri = database.resolve().as_uri()
    try:
        try:
            return _checked(sqlite3.connect(f"{uri}?mode=ro", **_OPTIONS), path)
        except sqlite3.OperationalError:
            # A finished run on a read-only medium: SQLite may not make the index of its WAL there.
            if (path / f"{DATABASE}-wal").exists():
                raise
            return _checked(sqlite3.connect(f"{uri}?mode=ro&immutable=1", **_OPTIONS), path)
    except sqlite3.Error as error:
        raise RunError(f"open_run: {database} must be readable, got: {error}.") from error


_OPTIONS: Mapping[str, Any] = {"uri": True, "timeout": 5, "check_same_thread": False}


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            raise RunNotFoundError(
                f"open_run: path must be the folder of a run, got {path}, which holds none yet."
            )
        if version != SCHEMA_VERSION:
            raise RunError(
                f"open_run: run must be of schema version {SCHEMA_VERSION}, got {version}. "
                "Read it with the version of fathom that wrote it."
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _runs_below(path: Path) -> str:
    runs = sorted(str(found.parent) for found in path.glob(f"*/{DATABASE}"))
    return f" There are runs at {', '.join(runs[:5])}." if runs else ""
