"""A callback for Lightning: `Trainer(callbacks=[FathomCallback("runs/x")])`."""

import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from torch import nn

from fathom.errors import ArgumentError, warn, whole_number
from fathom.extras import require
from fathom.integrations.watching import Watching
from fathom.sinks.names import numbers_of

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")
_KEY = "FathomCallback("

# `fast_dev_run` is to leave nothing behind: Lightning itself writes no logs then.
_NOTHING: Mapping[str, Any] = {
    "run": None,
    "sinks": (),
    "keep": "spectrum",
    "resume": False,
    "resume_from": None,
}


def _bases() -> tuple[type[Any], ...]:
    """Return the base classes of the callbacks of the packages in use."""
    used = [name for name in _PACKAGES if hasattr(sys.modules.get(name), "Callback")]
    if not used:
        # A callback may be asked for before the trainer is imported.
        installed = [name for name in _PACKAGES if find_spec(name.partition(".")[0])]
        used = [*installed, _PACKAGES[0]][:1]
    return tuple(require(name, extra="lightning").Callback for name in used)


# What is configured by name, as with LightningCLI, is to be a callback before one is made.
_Callback: Any = type("_Callback", _bases(), {"__module__": __name__})


class FathomCallback(_Callback):  # type: ignore[misc, unused-ignore]
    """Watches the module of a `Trainer` while it is fitted; a snapshot after every epoch.

    It works with `lightning` and with `pytorch_lightning`, whose callbacks have different base
    classes: it has those of the packages that are imported when this file is, and an instance
    those too that are imported when it is made.

    The step of a snapshot is the trainer's `global_step`, which checkpoints and loggers count by
    and which goes on after resuming. Under more than one process all ranks count.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Make a callback of the packages that are in use."""
        kind: Any = cls
        made: Self = object.__new__(_derived(kind, _bases()))
        return made

    def __init__(
        self, run: str | os.PathLike[str] | None = None, *, every_n_epochs: int = 1, **options: Any
    ):
        """Say where to record and how to watch.

        Args:
            run: A folder; None to record nothing, so that the numbers go to the loggers alone.
            every_n_epochs: Take a snapshot after so many epochs.
            **options: For `fathom.watch`, such as `layers` and `budget`.

        Raises:
            ArgumentError: If `every_n_epochs` is no number from 1 on.
        """
        if whole_number(every_n_epochs, where="FathomCallback: every_n_epochs") < 1:
            raise ArgumentError(
                f"FathomCallback: every_n_epochs must be 1 or more, got {every_n_epochs}. Pass 1 "
                "for a snapshot after every epoch."
            )
        self._every = every_n_epochs
        self._watching = Watching(run, options, hands_on=True)
        self._resumed_at: int | None = None
        self._has_saved = self._is_put_back = False
        self._logs = True

    @property
    def state_key(self) -> str:
        """Under which a checkpoint has its state."""
        run = self._watching.run
        return f"{_KEY}{None if run is None else Path(run).as_posix()})"

    def setup(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        """Forget what a checkpoint that was validated or tested has."""
        if stage == "fit":
            self._resumed_at = None
            self._has_saved = self._is_put_back = False
            self._watching.load({})

    def on_fit_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Watch the module, before anything of it is called."""
        # Where the strategy reads a checkpoint after this, where to go on is not known yet.
        if not trainer.strategy.restore_checkpoint_after_setup:
            self._begin(trainer, pl_module)

    def on_sanity_check_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Leave the sanity check out."""
        self._begin(trainer, pl_module)
        self._watching.pause()

    def on_sanity_check_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Count from here."""
        self._watching.resume()

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Watch the module, where the strategy has read a checkpoint only now."""
        self._begin(trainer, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, *batch: Any) -> None:
        """Hand the numbers to the loggers that were computed meanwhile."""
        self._watching.has_news = True
        self._log(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Take a snapshot; the validation of the epoch, if it has one, lies before."""
        # A checkpoint from within the end of an epoch has that end come again.
        if (trainer.current_epoch + 1) % self._every == 0 and self._watching.has_news:
            self._watching.snapshot(trainer.global_step, trainer.callback_metrics)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Take a last snapshot, where training went on after the one before."""
        if self._watching.has_news:
            self._watching.snapshot(trainer.global_step, trainer.callback_metrics)

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Take the hooks off, and close the run."""
        self._end(trainer)

    def teardown(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        """Take the hooks off, and close the run."""
        self._end(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint of the trainer needs, to go on in the middle of a window."""
        return self._watching.state()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, when fitting begins."""
        rows = state_dict["monitor"]
        if int(rows["ranks/size"]) > 1 and any(key.startswith("windows/") for key in rows):
            # Lightning saves that of the first rank, and gives it to all.
            warn(
                "fathom: a checkpoint of Lightning has the window of rank 0 alone, so this window "
                "begins at the checkpoint; the training goes on."
            )
            state_dict = {**state_dict, "monitor": {}}
        if self._is_put_back:
            self._watching.put_back(state_dict)
        else:
            self._watching.load(state_dict)

    def on_save_checkpoint(
        self, trainer: Any, pl_module: nn.Module, checkpoint: Mapping[str, Any]
    ) -> None:
        """Note that what is read next may be of this fit itself."""
        self._has_saved = True

    def on_load_checkpoint(
        self, trainer: Any, pl_module: nn.Module, checkpoint: Mapping[str, Any]
    ) -> None:
        """Note where training goes on, and find a state that was saved under another name."""
        # A search for a learning rate or a batch size saves, trains, and puts all back.
        self._is_put_back, self._has_saved = self._has_saved, False
        if self._is_put_back:
            return
        # A checkpoint may be without a state of this callback.
        self._resumed_at = int(checkpoint["global_step"]) or None
        states = checkpoint["callbacks"]
        mine = [key for key in states if str(key).startswith(_KEY)]
        others = [each for each in trainer.callbacks if isinstance(each, FathomCallback)]
        if self.state_key not in states and len(mine) == len(others) == 1 and states[mine[0]]:
            self.load_state_dict(states[mine[0]])

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by the class that can be imported, as processes are begun with it."""
        written = vars(type(self)).get("_written_as", type(self))
        return _made, (written,), self.__dict__

    def _begin(self, trainer: Any, pl_module: nn.Module) -> None:
        if self._watching.is_open:
            return
        changes = _NOTHING if trainer.fast_dev_run else {}
        at = max(trainer.global_step, self._resumed_at or 0)
        self._watching.begin(pl_module, at=at, after=self._resumed_at, **changes)
        self._resumed_at = None

    def _end(self, trainer: Any) -> None:
        self._watching.close()
        self._log(trainer, wait=True)

    def _log(self, trainer: Any, *, wait: bool = False) -> None:
        for snapshot in self._watching.done(wait=wait):
            numbers = numbers_of(snapshot) if self._logs and trainer.loggers else {}
            try:
                for logger in trainer.loggers if numbers else ():
                    logger.log_metrics(numbers, step=snapshot.step)
            except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
                self._logs = False
                warn(
                    "fathom: a logger of the trainer failed and gets no more numbers of fathom's; "
                    f"the run is not affected. {type(error).__name__}: {error}"
                )


@cache
def _derived(written: type[Any], bases: tuple[type[Any], ...]) -> type[Any]:
    """Return a class with these bases; the same one for the same, as Lightning compares classes."""
    missing = tuple(base for base in bases if not issubclass(written, base))
    if not missing:
        return written
    facts = {"__module__": written.__module__, "__doc__": written.__doc__, "_written_as": written}
    return type(written.__name__, (written, *missing), facts)


def _made(written: type[FathomCallback]) -> FathomCallback:
    return written.__new__(written)
