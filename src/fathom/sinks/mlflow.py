"""MLflow, on a server or in a local database."""

import re
import time
from collections.abc import Sequence
from typing import Any

from fathom.extras import require
from fathom.sinks.names import STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot

# More in one request are refused by its servers.
_AT_ONCE = 1000

# What its names of metrics may not have.
_REFUSED = re.compile(r"[^\w\-. :/]", re.ASCII)


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
        """Take a run, or begin one.

        Args:
            run_id: Of a run; None for the present one. Where there is none, one is begun, and
                ended at the end.
            tracking_uri: Such as `sqlite:///mlflow.db` or a server; None for what MLflow uses.
            experiment: The name under which a run is begun; None for MLflow's own.
            statistics: Of each layer, some of `fathom.STATISTICS`.

        Raises:
            ArgumentError: If a statistic is none.
            MissingExtraError: If mlflow is not installed.
        """
        self._statistics = checked(statistics, where="MLflow")
        mlflow = require("mlflow", extra="mlflow")
        self._metric: Any = require("mlflow.entities", extra="mlflow").Metric
        self._client: Any = mlflow.MlflowClient(tracking_uri=tracking_uri)
        active = mlflow.active_run() if tracking_uri is None else None
        self._is_own = run_id is None and active is None
        if run_id is None and active is not None:
            run_id = active.info.run_id
        self.run_id: str = (
            run_id or self._client.create_run(self._experiment(experiment)).info.run_id
        )

    def write(self, snapshot: Snapshot) -> None:
        """Log a snapshot.

        Args:
            snapshot: What was measured.
        """
        numbers = numbers_of(snapshot, statistics=self._statistics, metrics=self._is_own)
        now = round(1000 * time.time())
        metrics = [
            self._metric(_REFUSED.sub("_", name), value, now, snapshot.step)
            for name, value in numbers.items()
        ]
        for start in range(0, len(metrics), _AT_ONCE):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + _AT_ONCE])

    def close(self) -> None:
        """End the run, if it was begun here."""
        if self._is_own:
            self._client.set_terminated(self.run_id)

    def _experiment(self, name: str | None) -> str:
        name = "Default" if name is None else name
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))
