"""What every trainer's integration does: watch one training after the other, and never end one."""

import inspect
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from torch import Tensor, nn

from fathom.attach import watch
from fathom.errors import ClosedError, RunNotFoundError, warn
from fathom.monitor import Monitor
from fathom.snapshot import Snapshot
from fathom.views.run import open_run

# Names that `Monitor.snapshot` has for itself.
_TAKEN = frozenset({"self", "step"})


class Watching:
    """One run, whatever a trainer does: once watching has begun, nothing here raises.

    Attributes:
        monitor: The present one, or the last; None before the first training.
        has_news: Whether training went on since the last snapshot: set where a batch is trained
            with, and by the rows of a state.
    """

    def __init__(
        self,
        run: str | os.PathLike[str] | None,
        options: Mapping[str, Any],
        *,
        hands_on: bool = False,
    ):
        """Say where to record and how to watch.

        Args:
            run: A folder; None to record nothing.
            options: For `fathom.watch`.
            hands_on: Whether snapshots are kept until `done` gives them.
        """
        # As with any call: what is no argument of it is a TypeError, before a training begins.
        inspect.signature(watch).bind(None, run, **options)
        self.run = run
        self.monitor: Monitor | None = None
        self.has_news = False
        self._options = dict(options)
        self._hands_on = hands_on
        self._has_begun = False
        self._state: Mapping[str, Any] = {}
        self._last: Snapshot | None = None
        self._waiting: list[Snapshot] = []

    @property
    def is_open(self) -> bool:
        """Whether a training is being watched."""
        return self.monitor is not None and not self.monitor.closed

    @property
    def last_step(self) -> int | None:
        """The step of the last snapshot of the run; None before the first."""
        return None if self.monitor is None else self.monitor.last_step

    def begin(
        self, model: nn.Module, *, at: int | None = None, after: int | None = None, **changes: Any
    ) -> None:
        """Watch a model; what was watched before ends.

        Args:
            model: The model.
            at: The step at which the trainer stands; None where it counts none.
            after: The step from which the training goes on: what the run has of later ones is
                dropped, as they come again. None for a new training.
            **changes: Of the arguments of `fathom.watch`, for this training.

        Raises:
            FathomError: As `fathom.watch`.
        """
        self.close()
        options = {"run": self.run, **self._options, **changes}
        is_own = options["run"] == self.run
        if self._has_begun and is_own:
            # What the user wanted dropped is gone, and what came since is the run's own.
            options |= {"resume": True, "resume_from": None}
        state, self._state = self._state, {}
        last = state.get("last_step")
        if last is not None:
            after = max(last, last if after is None else after)
        if after is not None and _is_run(options["run"]):
            options["resume_from"] = after + 1
        elif after is not None:
            options["resume"] = True
        self.monitor = watch(model, **options)
        self._has_begun = self._has_begun or is_own
        self._last, self.has_news = None, False
        # What the run has of a later step than the state, it took from the rows of the state.
        if last is not None and (self.last_step is None or self.last_step <= last):
            self._go_on(self.monitor, state["monitor"])
        self._tell_of_steps(at)

    def _go_on(self, monitor: Monitor, rows: Mapping[str, Tensor]) -> None:
        try:
            if rows:
                monitor.load_state_dict(rows)
                self.has_news = any(name.startswith("windows/") for name in rows)
        except ValueError as error:
            warn(
                "fathom: what was gathered before the checkpoint does not fit, so this window "
                f"begins at the checkpoint; the training goes on. {error}"
            )

    def _tell_of_steps(self, at: int | None) -> None:
        last = self.last_step
        if at is not None and last is not None and at < last:
            warn(
                f"fathom: the training begins at step {at}, but {self.run} is at {last} and goes "
                f"on at {last + 1}, so these steps are not the trainer's. Pass another folder for "
                "a run of its own."
            )

    def snapshot(self, step: int, metrics: Mapping[str, object]) -> None:
        """Take a snapshot, if a training is watched.

        Args:
            step: As the trainer counts; where that stands still, as without an optimizer, the one
                after the last is taken.
            metrics: The trainer's; what is no single number is left out.
        """
        monitor = self.monitor
        if monitor is None or monitor.closed:
            return
        if monitor.last_step is not None:
            step = max(step, monitor.last_step + 1)
        try:
            taken = monitor.snapshot(step, **numbers_among(metrics))
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
            warn(f"fathom: no snapshot at step {step}; the training goes on. {error}")
        else:
            self._last, self.has_news = taken, False
            self._waiting += [taken] if self._hands_on else []

    def done(self, *, wait: bool = False) -> Iterable[Snapshot]:
        """Give each snapshot once, when it is computed and recorded.

        Args:
            wait: For those that are not.

        Yields:
            Snapshots, in order.
        """
        while self._waiting and (wait or self._waiting[0].done):
            yield self._waiting.pop(0).wait()

    def pause(self) -> None:
        """Count nothing until `resume()`."""
        if self.monitor is not None:
            self.monitor.pause()

    def resume(self) -> None:
        """Count again."""
        if self.monitor is not None:
            self.monitor.resume()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle how to watch; what is being watched cannot go along."""
        make = partial(type(self), hands_on=self._hands_on)
        return make, (self.run, self._options)

    def close(self) -> None:
        """Take the hooks off, and close the run."""
        if self.monitor is not None:
            self.monitor.close()

    def recorded(self, *, after: int, until: int) -> list[Snapshot]:
        """Return what the run has of some steps, to tell again what a lost process had told.

        Args:
            after: The step before the first.
            until: The last one.

        Returns:
            Snapshots, in order; none where nothing is recorded.
        """
        if not _is_run(self.run):
            return []
        with open_run(str(self.run)) as run:
            return [run.snapshot(step) for step in run.steps if after < step <= until]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs: the step of the last snapshot, and the rows since.

        What is told to be recorded has to be: this waits for the last snapshot.
        """
        if self.monitor is None:
            return {}
        if self._last is not None:
            # In a forked child nobody computes it, and the run is its parent's.
            with suppress(ClosedError):
                self._last.wait()
        last = -1 if self.last_step is None else self.last_step
        return {"last_step": last, "monitor": self.monitor.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, at the next beginning.

        Args:
            state: What `state` returned; an empty one takes back what was loaded.
        """
        self._state = dict(state)

    def put_back(self, state: Mapping[str, Any]) -> None:
        """Have the window of a state again, where no snapshot was taken since.

        Args:
            state: What `state` returned in this training.
        """
        last = -1 if self.last_step is None else self.last_step
        if self.monitor is not None and self.is_open and state["last_step"] == last:
            self._go_on(self.monitor, state["monitor"])


def _is_run(folder: str | os.PathLike[str] | None) -> bool:
    try:
        return folder is not None and bool(open_run(folder))
    except RunNotFoundError:
        return False


def numbers_among(metrics: Mapping[str, object]) -> dict[str, float]:
    """Return what of a trainer's metrics is a single number.

    Args:
        metrics: Numbers, tensors and whatever else.

    Returns:
        By the same names.
    """
    numbers = {}
    for name, value in metrics.items():
        single = value.numel() == 1 if isinstance(value, Tensor) else not isinstance(value, str)
        if single and name not in _TAKEN:
            try:
                plain = value.detach() if isinstance(value, Tensor) else value
                numbers[str(name)] = float(plain)  # type: ignore[arg-type]
            except Exception:  # noqa: BLE001 - whatever it is, it is no number
                continue
    return numbers
