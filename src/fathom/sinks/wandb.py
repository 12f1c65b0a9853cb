"""Weights & Biases, with a step of fathom's own."""

from collections.abc import Sequence
from typing import Any

from fathom.errors import warn
from fathom.extras import require
from fathom.sinks.names import OWN_STEP, STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot


class WandB:
    """Logs to a run of Weights & Biases; needs the extra `wandb`.

    Its charts of fathom have `fathom/step` on their axis: the step of the snapshot. In a run of
    yours the numbers go into the row that your next `log` ends, so that the run's own step goes on
    as you count it.
    """

    def __init__(
        self,
        run: Any = None,
        *,
        statistics: Sequence[str] = STATISTICS,
        commit: bool = False,
        **init: Any,
    ):
        """Take a run, or have one begun at the first snapshot.

        Args:
            run: What `wandb.init` returned; None for the one that is present at the first
                snapshot. Where there is none, one is begun, and finished at the end.
            statistics: Of each layer, some of `fathom.STATISTICS`.
            commit: In a run of yours, give each snapshot a row of its own. A row has one snapshot,
                so this is for more than one between two calls of your `log`; but the run's step
                then goes on, and W&B drops what you log with a `step=` that it has passed.
            **init: For `wandb.init`, such as `project`, where a run is begun.

        Raises:
            ArgumentError: If a statistic is none.
            MissingExtraError: If wandb is not installed.
        """
        self._statistics = checked(statistics, where="WandB")
        self._wandb: Any = require("wandb", extra="wandb")
        self._given: Any = run
        self._run: Any = None
        self._is_own = False
        self._commit = commit
        self._init = init
        # The last snapshot's, and the row that it went into.
        self._last: tuple[int, int] | None = None
        self._told = False

    def write(self, snapshot: Snapshot) -> None:
        """Log a snapshot.

        Args:
            snapshot: What was measured.
        """
        if self._run is None:
            self._begin()
        numbers = numbers_of(snapshot, statistics=self._statistics, metrics=self._is_own)
        commits = self._is_own or self._commit
        if not commits:
            self._tell_of_one_row(snapshot.step)
        self._run.log({**numbers, OWN_STEP: snapshot.step}, commit=commits)

    def close(self) -> None:
        """Finish the run, if it was begun here."""
        if self._is_own:
            self._run.finish()
        self._run, self._is_own = None, False

    def _begin(self) -> None:
        self._run = self._wandb.run if self._given is None else self._given
        if self._run is None:
            self._run, self._is_own = self._wandb.init(**self._init), True
        self._run.define_metric(OWN_STEP, hidden=True)
        self._run.define_metric("fathom/*", step_metric=OWN_STEP)

    def _tell_of_one_row(self, step: int) -> None:
        row = self._run.step
        if self._last is not None and self._last[1] == row and not self._told:
            self._told = True
            warn(
                f"fathom: sink WandB has one row for steps {self._last[0]} and {step}, and keeps "
                "the later, as the run's step did not go on meanwhile. Log more often than you "
                "take snapshots, or pass WandB(commit=True) if you log without step=."
            )
        self._last = step, row
