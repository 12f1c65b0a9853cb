"""Read a run, also while it is still being written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fathom.errors import (
    RunError,
    RunNotFoundError,
    choose,
    near,
)
from fathom.reading import PHASES, LayerFacts, Reading, Readings
from fathom.snapshot import Snapshot
from fathom.spectral.spectrum import Spectrum, second_moment_rankme
from fathom.spectral.table import check_statistic
from fathom.spectral.vectors import check_threshold
from fathom.store.content import content
from fathom.store.covariances import read_covariances
from fathom.store.database import Database
from fathom.store.records import (
    layer_facts,
    reading_of,
)


class StoredRun:
    """Everything recorded for one training, as numbers; `Run` shows itself too."""

    def __init__(self, path: Path):
        """Open a run; use `fathom.open_run`.

        Args:
            path: Its folder.

        Raises:
            RunNotFoundError: If there is no run.
            RunError: If it cannot be read.
        """
        self.path = path
        self.database = Database(path)
        """Its records, for what else lies in the store."""

    @property
    def steps(self) -> list[int]:
        """The recorded steps, ascending."""
        # Of a damaged file, a step may come twice.
        return sorted({step for (step,) in self.database.rows("SELECT step FROM snapshots")})

    @property
    def layers(self) -> list[str]:
        """The names of the observed layers, in execution order."""
        return list(self.layer_facts)

    @property
    def layer_facts(self) -> dict[str, LayerFacts]:
        """What is known of each observed layer, by name, in execution order."""
        facts = {}
        query = "SELECT name, body, checksum FROM layers ORDER BY position"
        for name, text, checksum in self.database.rows(query):
            body = self.database.body(("layer", name), text, checksum)
            if isinstance(name, str):
                facts[name] = layer_facts(name, body) if body else _unknown_layer(name)
        return facts

    @property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """The user's metrics by name, each (steps,); nan where a step did not give one."""
        found = {
            step: self.database.body(("snapshot", step), text, seal).get("metrics", {})
            for step, text, seal in self.database.rows(
                "SELECT step, body, checksum FROM snapshots ORDER BY step"
            )
        }
        bodies = list(found.values())
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
        rows = self.database.rows("SELECT number, body, checksum FROM sessions ORDER BY number")
        return [self.database.body(("session", number), text, seal) for number, text, seal in rows]

    @property
    def damaged(self) -> list[str]:
        """The names of all records that are not as they were written; reads the whole run."""
        return [" ".join(map(str, key)) for key in self.database.damaged()]

    def statistic(
        self,
        name: str,
        *,
        phase: str = "eval",
        threshold: float | None = None,
        steps: Sequence[int] | None = None,
    ) -> NDArray[np.float64]:
        """Return one statistic of every layer, recomputed from the spectra.

        Args:
            name: One of `fathom.STATISTICS`.
            phase: `train` or `eval`.
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.
            steps: Some recorded steps; None for all.

        Returns:
            (steps, layers), in the order of `steps` and `layers`; nan where there is no reading,
            where it is damaged, or where the statistic was not measured.

        Raises:
            ArgumentError: If the statistic, the phase or the threshold is none.
            RunNotFoundError: If the run has no such step.
        """
        check_statistic(name, where="Run.statistic: name")
        choose(phase, PHASES, where="Run.statistic: phase")
        if threshold is not None:
            check_threshold(threshold, where="Run.statistic")
        recorded, facts = self.steps, self.layer_facts
        steps = recorded if steps is None else steps
        if unknown := set(steps).difference(recorded):
            self._step(min(unknown), where="Run.statistic")
        columns = {layer: column for column, layer in enumerate(facts)}
        values = np.full((len(steps), len(columns)), np.nan)
        for row, step in enumerate(steps):
            for reading in self._readings(step, facts, phases=(phase,)):
                if reading.layer.name in columns:
                    value = self._statistic(name, step, reading, threshold)
                    values[row, columns[reading.layer.name]] = value
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
        found = list(self.database.rows(query, (step, phase, layer)))
        if not found:
            layers = self.layers
            others = "" if layer in layers else f" {near(layer, layers)}"
            raise RunNotFoundError(
                f"Run.spectrum: layer must be one with a reading, got {layer!r}, which has none "
                f"at step {step} in {phase}.{others}"
            )
        text, checksum, blob = found[0]
        body = content(("spectrum", step, phase, layer), text, checksum, blob)
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
        return self._covariances((layer,), step, phase, where="Run.covariance")[layer]

    def covariances(
        self, layers: Sequence[str], *, step: int | None = None, phase: str = "eval"
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the covariances of several layers at one step; their file is checked once.

        Args:
            layers: Their names.
            step: The step; None for the last.
            phase: `train` or `eval`.

        Returns:
            By layer what `covariance` returns.

        Raises:
            ArgumentError: If there is no such phase.
            RunNotFoundError: If none was kept.
            DamagedRecordError: If they are not as they were written.
        """
        return self._covariances(layers, step, phase, where="Run.covariances")

    def kept_covariances(self, step: int, *, phase: str = "eval") -> list[str]:
        """Return the layers whose covariances were kept at a step, without reading them.

        Args:
            step: A recorded step.
            phase: `train` or `eval`.

        Returns:
            Their names; none where the run has no `keep="covariance"`.

        Raises:
            RunNotFoundError: If the run has no such step.
        """
        step = self._step(step, where="Run.kept_covariances")
        kept = self._snapshot_body(step).get("covariances", {}).get("read", {})
        names = (key.partition("/") for key in kept)
        return [layer for of, _, layer in names if of == phase]

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
        return self._snapshot(step, self.layer_facts, threshold)

    def snapshots(self, *, threshold: float | None = None) -> Iterator[Snapshot]:
        """Go through all snapshots, one in memory at a time.

        Args:
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.

        Yields:
            The snapshots, by step.

        Raises:
            ArgumentError: If the threshold is outside (0, 1].
        """
        if threshold is not None:
            check_threshold(threshold, where="Run.snapshots")
        facts = self.layer_facts
        for step in self.steps:
            yield self._snapshot(step, facts, threshold)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self.database.close()

    def __enter__(self) -> Self:
        """Use the run in a `with` block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it at the end of the block."""
        self.close()

    def __repr__(self) -> str:
        """Say in a line what is inside."""
        return f"Run({str(self.path)!r}: {len(self.steps)} steps, {len(self.layers)} layers)"

    def _covariances(
        self, layers: Sequence[str], step: int | None, phase: str, *, where: str
    ) -> dict[str, tuple[Tensor, Tensor]]:
        choose(phase, PHASES, where=f"{where}: phase")
        step = self._step(step, where=where)
        kept = self._snapshot_body(step).get("covariances")
        if kept is None:
            raise RunNotFoundError(
                f"{where}: step must be one with covariances, got {step}, which has none. "
                'Watch with keep="covariance" to keep those of layers up to max_width.'
            )
        return read_covariances(self.path, kept, phase, layers)

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
        kept = self._snapshot_body(step)["covariances"]
        read = kept.get("read", {}).get(f"{reading.phase}/{reading.layer.name}", reading.rows)
        return second_moment_rankme(covariance, mean, rows=read)

    def _snapshot(
        self, step: int, facts: Mapping[str, LayerFacts], threshold: float | None
    ) -> Snapshot:
        body = self._snapshot_body(step)
        found: dict[str, dict[str, Reading]] = {phase: {} for phase in PHASES}
        for reading in self._readings(step, facts):
            if threshold is not None:
                reading = replace(reading, threshold=threshold)
            found[reading.phase][reading.layer.name] = reading
        order = {layer: position for position, layer in enumerate(facts)}
        train, eval_ = (
            Readings(sorted(found[phase].items(), key=lambda item: order.get(item[0], len(order))))
            for phase in PHASES
        )
        return Snapshot(
            step=step,
            metrics=body.get("metrics", {}),
            train=train,
            eval=eval_,
            unobserved=tuple(body.get("unobserved", ())),
            disabled=body.get("disabled", {}),
            output_layer=body.get("output_layer"),
            reasons=body.get("reasons", {}),
        )

    def _snapshot_body(self, step: int) -> dict[str, Any]:
        query = "SELECT body, checksum FROM snapshots WHERE step = ?"
        for text, checksum in self.database.rows(query, (step,)):
            return self.database.body(("snapshot", step), text, checksum)
        return {}

    def _readings(
        self, step: int, facts: Mapping[str, LayerFacts], *, phases: Sequence[str] = PHASES
    ) -> Iterator[Reading]:
        query = (
            "SELECT layer, body, checksum, eigenvalues FROM readings WHERE step = ? AND phase = ?"
        )
        for phase in phases:
            for layer, text, checksum, blob in self.database.rows(query, (step, phase)):
                body = self.database.body(("spectrum", step, phase, layer), text, checksum, blob)
                if body:
                    yield reading_of(facts.get(layer, _unknown_layer(layer)), phase, body, blob)


def _unknown_layer(name: str) -> LayerFacts:
    return LayerFacts(name, kind="other", module="")
