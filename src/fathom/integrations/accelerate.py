"""A tracker for Accelerate: `Accelerator(log_with=FathomTracker("runs/x", model))`."""

import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from fathom.errors import ArgumentError, warn
from fathom.extras import require
from fathom.integrations.watching import Watching, numbers_among
from fathom.monitor import Monitor

_tracking: Any = require("accelerate.tracking", extra="accelerate")
_state: Any = require("accelerate.state", extra="accelerate")


class FathomTracker(_tracking.GeneralTracker):  # type: ignore[misc, unused-ignore]
    """Makes a snapshot of what `accelerator.log(values, step=step)` is told.

    Accelerate calls its trackers in the main process alone, so of more than one the rows of that
    process count, and it warns. For those of all, use `fathom.watch` on every process.
    """

    name = "fathom"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self,
        run: str | os.PathLike[str] | None = None,
        model: nn.Module | None = None,
        *,
        at: str | None = None,
        **options: Any,
    ):
        """Say where to record and how to watch.

        Args:
            run: A folder; None to record nothing.
            model: The model, watched from `init_trackers` on; None to give it to `watch`.
            at: The value, such as `accuracy`, whose logging makes a snapshot; what else is logged
                waits for it. None for a snapshot at every log.
            **options: For `fathom.watch`, such as `layers`, `budget` and `sinks`.

        Raises:
            ArgumentError: If the run is no path, the model no module, or `at` no name.
        """
        super().__init__()
        _refuse(run, model, at)
        self._watching = Watching(run, options)
        self._model = model
        self._at = at
        self._alone = options.get("ranks") == "own"
        self._values: dict[str, float] = {}
        self._step: int | None = None
        self._told = False
        self._logged: dict[str, None] = {}

    @property
    def tracker(self) -> Monitor | None:
        """The monitor, as `accelerator.get_tracker("fathom", unwrap=True)` returns it."""
        return self._watching.monitor

    def start(self) -> None:
        """Watch the model, if it is known; `accelerator.init_trackers` calls this."""
        if self._model is not None:
            self.watch(self._model)

    def watch(self, model: nn.Module) -> None:
        """Watch a model from now on, in the main process; in the others this does nothing.

        Args:
            model: Prepared or not.
        """
        state = _state.PartialState()
        if not state.is_main_process:
            return
        if state.num_processes > 1 and not self._alone:
            self._alone = True
            warn(
                "fathom: accelerate calls trackers in the main process alone, so the rows of "
                f"{state.num_processes - 1} more do not count. Pass ranks='own' to say that this "
                "is meant, or use fathom.watch on every process."
            )
        changes: dict[str, Any] = {"ranks": "own"} if state.num_processes > 1 else {}
        self._watching.begin(model, **changes)

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Keep nothing of a configuration: a run has no place for it."""

    def log(self, values: Mapping[str, Any], step: int | None = None, **others: Any) -> None:
        """Take a snapshot with these values, or keep them for the next one.

        Args:
            values: Numbers by name; what is no number is left out.
            step: Where it is that of the last snapshot, the values go to the next one. None for the
                one after the last.
            **others: Nothing is made of them.
        """
        self._values |= numbers_among(values)
        self._logged |= dict.fromkeys(values)
        if not self._watching.is_open:
            self._tell_of_no_model()
            return
        last = self._watching.last_step
        step = (0 if last is None else last + 1) if step is None else step
        if last is not None and step <= last:
            return
        self._step = step
        if self._at is None or self._at in values:
            self._take(step)

    def finish(self) -> None:
        """Take a last snapshot, where a later step was logged than that of the one before.

        Then take the hooks off, and close the run; `accelerator.end_training` calls this.
        """
        if self._watching.is_open:
            if self._at is not None and self._logged and self._at not in self._logged:
                warn(
                    f"fathom: at={self._at!r} was never logged, so no snapshot was taken before "
                    f"the last one. Logged were {', '.join(map(str, self._logged))}."
                )
            if self._step is not None:
                self._take(self._step)
            elif self._values:
                warn(
                    f"fathom: {', '.join(self._values)} came at the step of the last snapshot or "
                    "below it, and no later one came to take them. Log them before what makes a "
                    "snapshot."
                )
        self._values = {}
        self._watching.close()

    def _take(self, step: int) -> None:
        taken, self._values, self._step = self._values, {}, None
        self._watching.snapshot(step, taken)

    def _tell_of_no_model(self) -> None:
        if not self._told:
            self._told = True
            warn(
                "fathom: nothing is recorded, as no model is watched. Give FathomTracker the "
                "model, or call its watch(model), before the first log."
            )


def _refuse(run: object, model: object, at: object) -> None:
    if run is not None and not isinstance(run, str | os.PathLike):
        raise ArgumentError(
            f"FathomTracker: run must be a folder, got {type(run).__name__}. Pass "
            'FathomTracker("runs/x", model).'
        )
    if model is not None and not isinstance(model, nn.Module):
        raise ArgumentError(
            f"FathomTracker: model must be a torch.nn.Module, got {type(model).__name__}. Pass "
            'FathomTracker("runs/x", model).'
        )
    if at is not None and not isinstance(at, str):
        raise ArgumentError(
            f"FathomTracker: at must be one name that is logged, got {at!r}. Pass at='accuracy'."
        )
