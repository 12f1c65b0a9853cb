"""trackio, Hugging Face's local dashboard."""

from collections.abc import Sequence
from typing import Any

from fathom.extras import require
from fathom.sinks.names import STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot


class Trackio:
    """Logs to a run of trackio; needs the extra `trackio`."""

    def __init__(
        self,
        run: Any = None,
        *,
        project: str = "fathom",
        statistics: Sequence[str] = STATISTICS,
        **init: Any,
    ):
        """Take a run, or begin one.

        Args:
            run: What `trackio.init` returned; None to begin one, which is finished at the end.
            project: Under which it is begun.
            statistics: Of each layer, some of `fathom.STATISTICS`.
            **init: For `trackio.init`, such as `name`.

        Raises:
            ArgumentError: If a statistic is none.
            MissingExtraError: If trackio is not installed.
        """
        self._statistics = checked(statistics, where="Trackio")
        trackio = require("trackio", extra="trackio")
        self._is_own = run is None
        self._run: Any = trackio.init(project=project, **init) if run is None else run

    def write(self, snapshot: Snapshot) -> None:
        """Log a snapshot.

        Args:
            snapshot: What was measured.
        """
        numbers = numbers_of(snapshot, statistics=self._statistics, metrics=self._is_own)
        self._run.log(numbers, step=snapshot.step)

    def close(self) -> None:
        """Finish the run, if it was begun here."""
        if self._is_own:
            self._run.finish()
