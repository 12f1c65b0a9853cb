"""MLflow, on a server or in a local database."""

import os
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

from fathom.extras import require
from fathom.sinks.names import STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot

# More in one request are refused by its servers.
_AT_ONCE = 1000

# What its names of metrics may not have.
_REFUSED = re.compile(r"[^\w\-. :/]")


class MLflow:
    """Logs to a run of MLflow, many numbers in one request; needs the extra `mlflow`."""

    def __init__(
        self,
        run_id: str | None = None,
        *,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        statistics: Sequence[str] = STATISTICS,
    ):
        """Take a run, or have one begun at the first snapshot.

        Args:
            run_id: Of a run; None for the present one. Where there is none, one is begun, and
                is `FINISHED` at the end, however the training ended.
            tracking_uri: Such as `sqlite:///mlflow.db` or a server; None for what MLflow uses.
            experiment: The name under which a run is begun; None for what MLflow uses, such as
                that of `mlflow.set_experiment`; with a `tracking_uri`, for that of
                `MLFLOW_EXPERIMENT_NAME`, or `Default`.
            statistics: Of each layer, some of `fathom.STATISTICS`.

        Raises:
            ArgumentError: If a statistic is none.
            MissingExtraError: If mlflow is not installed.
        """
        self._statistics = checked(statistics, where="MLflow")
        mlflow = require("mlflow", extra="mlflow")
        self._metric: Any = require("mlflow.entities", extra="mlflow").Metric
        self._make: Any = mlflow.MlflowClient
        self._client: Any = None
        # Asked for here: it is that of the present thread alone.
        active = mlflow.active_run() if tracking_uri is None and run_id is None else None
        self.run_id: str | None = run_id if active is None else active.info.run_id
        self._is_own = self.run_id is None
        self._tracking_uri = tracking_uri
        self._experiment_name = experiment
        self._names: dict[str, str] = {}

    def write(self, snapshot: Snapshot) -> None:
        """Log a snapshot.

        Args:
            snapshot: What was measured.
        """
        numbers = numbers_of(snapshot, statistics=self._statistics, metrics=self._is_own)
        if self._client is None:
            self._client = self._make(tracking_uri=self._tracking_uri)
        if self.run_id is None:
            self.run_id = str(self._client.create_run(self._experiment()).info.run_id)
        self._take(numbers)
        now = round(1000 * time.time())
        metrics = [
            self._metric(self._names[name], value, now, snapshot.step)
            for name, value in numbers.items()
        ]
        for start in range(0, len(metrics), _AT_ONCE):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + _AT_ONCE])

    def close(self) -> None:
        """End the run, if it was begun here."""
        if self._is_own and self._client is not None:
            self._client.set_terminated(self.run_id)

    def _take(self, names: Iterable[str]) -> None:
        """Find what MLflow may call each: its own name, or one of nothing else."""
        # Those first that can be taken as they are, or another might have taken their names.
        for name in sorted(
            set(names) - self._names.keys(), key=lambda each: _allowed(each) != each
        ):
            free, number = _allowed(name), 1
            while free in self._names.values():
                number += 1
                free = f"{_allowed(name)}_{number}"
            self._names[name] = free

    def _experiment(self) -> str:
        name = self._experiment_name
        if name is None and self._tracking_uri is None:
            # What `mlflow.start_run` asks; there is no public name for it.
            fluent: Any = require("mlflow.tracking.fluent", extra="mlflow")
            return str(fluent._get_experiment_id())
        if name is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))


def _allowed(name: str) -> str:
    return _REFUSED.sub("_", name)
