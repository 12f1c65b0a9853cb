"""Weights & Biases, with a step of fathom's own."""

from collections.abc import Sequence
from typing import Any

from fathom.extras import require
from fathom.sinks.names import STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot

_STEP = "fathom/step"


class WandB:
    """Logs to a run of Weights & Biases; needs the extra `wandb`.

    Its charts of fathom have `fathom/step` on their axis: the step of the snapshot. The run's own
    step goes on as the training counts it.
    """

    def __init__(self, run: Any = None, *, statistics: Sequence[str] = STATISTICS, **init: Any):
        """Take a run, or begin one.

        Args:
            run: What `wandb.init` returned; None for the present one. Where there is none, one is
                begun, and finished at the end.
            statistics: Of each layer, some of `fathom.STATISTICS`.
            **init: For `wandb.init`, such as `project`, where a run is begun.

        Raises:
            ArgumentError: If a statistic is none.
            MissingExtraError: If wandb is not installed.
        """
        self._statistics = checked(statistics, where="WandB")
        wandb = require("wandb", extra="wandb")
        present = run if run is not None else wandb.run
        self._is_own = present is None
        self._run: Any = wandb.init(**init) if present is None else present
        self._run.define_metric(_STEP, hidden=True)
        self._run.define_metric("fathom/*", step_metric=_STEP)

    def write(self, snapshot: Snapshot) -> None:
        """Log a snapshot.

        Args:
            snapshot: What was measured.
        """
        numbers = numbers_of(snapshot, statistics=self._statistics, metrics=self._is_own)
        self._run.log({**numbers, _STEP: snapshot.step})

    def close(self) -> None:
        """Finish the run, if it was begun here."""
        if self._is_own:
            self._run.finish()
