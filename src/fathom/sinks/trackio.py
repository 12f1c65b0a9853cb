"""trackio, Hugging Face's local dashboard."""

from collections.abc import Sequence
from typing import Any

from fathom.extras import require
from fathom.sinks.names import OWN_STEP, STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot


class Trackio:
    """Logs to a run of trackio; needs the extra `trackio`.

    In a run of yours a snapshot is a row of its own, under the step that trackio counts, with its
    own step as `fathom/step`.
    """

    def __init__(
        self,
        run: Any = None,
        *,
        project: str = "fathom",
        statistics: Sequence[str] = STATISTICS,
        **init: Any,
    ):
        """Take a run, or have one begun at the first snapshot.

        Args:
            run: What `trackio.init` returned; None for the present one. Where there is none, one is
                begun, and finished at the end.
            project: Under which it is begun.
            statistics: Of each layer, some of `fathom.STATISTICS`.
            **init: For `trackio.init`, such as `name`.

        Raises:
            ArgumentError: If a statistic is none.
            MissingExtraError: If trackio is not installed.
        """
        self._statistics = checked(statistics, where="Trackio")
        self._trackio: Any = require("trackio", extra="trackio")
        if run is None:
            # Asked for here: it is that of the present thread alone.
            run = require("trackio.context_vars", extra="trackio").current_run.get()
        self._run: Any = run
        self._is_own = run is None
        self._init = {"project": project, **init}

    def write(self, snapshot: Snapshot) -> None:
        """Log a snapshot.

        Args:
            snapshot: What was measured.
        """
        numbers = numbers_of(snapshot, statistics=self._statistics, metrics=self._is_own)
        if not self._is_own:
            self._run.log({**numbers, OWN_STEP: snapshot.step})
            return
        if self._run is None:
            self._run = self._trackio.init(**self._init)
        self._run.log(numbers, step=snapshot.step)

    def close(self) -> None:
        """Finish the run, if it was begun here."""
        if self._is_own and self._run is not None:
            self._run.finish()
            self._run = None
