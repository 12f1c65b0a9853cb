"""A callback for Hugging Face's `Trainer`: `trainer.add_callback(FathomCallback("runs/x"))`."""

import copy
import os
import sys
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from fathom.errors import warn
from fathom.extras import require
from fathom.integrations.watching import Watching
from fathom.sinks.names import numbers_of
from fathom.snapshot import Snapshot

_callbacks: Any = require("transformers.trainer_callback", extra="transformers")
_loggers: Any = require("transformers.integrations", extra="transformers")

# How fast an evaluation was says nothing of the model.
_SPEED = ("_runtime", "_per_second", "_preparation_time")


class FathomCallback(_callbacks.TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Watches the model of a `Trainer` while it trains; a snapshot after every evaluation.

    Where the trainer does not evaluate, there is one at the end of every epoch. Steps are the
    trainer's `global_step`. Padding does not count, as the model is called with its mask.

    The numbers go to `trainer.state.log_history` and to what the trainer reports to, once they are
    computed. A callback is told of neither, so this one looks for the trainer's list of callbacks
    among its callers when training begins. There too it leaves what tells it of an exception, of
    which a `Trainer` says nothing: watching ends when the loop's frame goes.
    """

    def __init__(self, run: str | os.PathLike[str] | None = None, **options: Any):
        """Say where to record and how to watch.

        Args:
            run: A folder; None to record nothing, so that the numbers go to the trainer alone.
            **options: For `fathom.watch`, such as `layers` and `budget`.
        """
        self._watching = Watching(run, options, hands_on=True)
        self._handler: weakref.ref[Any] | None = None
        self._loss: dict[str, float] = {}
        self._metrics: dict[str, object] = {}
        self._epochs: dict[int, float | None] = {}
        self._due = False
        self._logs = True

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: nn.Module, **others: Any
    ) -> None:
        """Watch the model; of a training that is resumed, go on with the run."""
        handler, loop = _callers()
        self._handler = None if handler is None else weakref.ref(handler)
        self._loss, self._metrics, self._epochs, self._due = {}, {}, {}, False
        if loop is not None:
            self._load(loop.f_locals["resume_from_checkpoint"], args)
        self._watching.begin(model, at=state.global_step, after=state.global_step or None)
        if state.global_step:
            self._tell(self._untold(state), args, state, control, others)
        if loop is not None and self._watching.monitor is not None:
            # Its locals are the only thing that ends with the loop however that ends.
            mark = _Mark()
            weakref.finalize(mark, self._watching.monitor.close)
            loop.f_locals["_fathom_mark"] = mark

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take the snapshot, once all data sets are evaluated and before training goes on."""
        self._take(state)
        self._tell(self._watching.done(), args, state, control, others)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Note that training went on."""
        self._watching.has_news = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Have a snapshot taken, where there is no evaluation."""
        self._due = self._due or args.eval_strategy == "no"

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, object], **others: Any
    ) -> None:
        """Have a snapshot taken, with the metrics of the evaluation."""
        self._due = True
        kept = {name: each for name, each in metrics.items() if not name.endswith(_SPEED)}
        self._metrics |= kept

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **others: Any
    ) -> None:
        """Keep the loss; at the end of the training, while the loggers are open, log the rest."""
        if "loss" in logs:
            self._loss = {"loss": logs["loss"]}
        if "train_runtime" in logs:
            self._finish(args, state, control, others)

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Put a file into the checkpoint, of each process, to go on in the middle of a window."""
        self._take(state)
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        if not self._watching.is_open or args.save_only_model or not folder.is_dir():
            return
        try:
            torch.save(self._watching.state(), folder / _file_of(args))
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
            warn(
                f"fathom: {folder} could not be given the state of the window; the training goes "
                f"on. {type(error).__name__}: {error}"
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take the hooks off, and close the run."""
        self._finish(args, state, control, others)
        self._watching.close()

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle without the trainer's list of callbacks, which is no part of this."""
        return {**self.__dict__, "_handler": None}

    def _take(self, state: Any) -> None:
        if not self._due:
            return
        self._watching.snapshot(state.global_step, {**self._loss, **self._metrics})
        if self._watching.last_step is not None:
            self._epochs[self._watching.last_step] = state.epoch
        self._metrics, self._due = {}, False

    def _finish(self, args: Any, state: Any, control: Any, others: Mapping[str, Any]) -> None:
        self._due = self._due or self._watching.has_news
        if self._watching.is_open:
            self._take(state)
            self._tell(self._watching.done(wait=True), args, state, control, others)

    def _untold(self, state: Any) -> Iterable[Snapshot]:
        """Give what a resumed training has recorded, but had not yet told when it was saved."""
        told = [-1]
        try:
            for entry in state.log_history:
                self._epochs[entry["step"]] = entry.get("epoch")
                if any(name.startswith("fathom/") for name in entry):
                    told.append(entry["step"])
            return self._watching.recorded(after=max(told), until=state.global_step)
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
            warn(
                "fathom: the run cannot be read, so the trainer's loggers lack what was recorded "
                f"before the checkpoint; the training goes on. {type(error).__name__}: {error}"
            )
            return []

    def _tell(
        self,
        snapshots: Iterable[Snapshot],
        args: Any,
        state: Any,
        control: Any,
        others: Mapping[str, Any],
    ) -> None:
        for snapshot in snapshots:
            try:
                if self._logs and (numbers := numbers_of(snapshot)):
                    self._report(snapshot, numbers, args, state, control, others)
            except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
                self._logs = False
                warn(
                    "fathom: a logger of the trainer failed and gets no more numbers of fathom's; "
                    f"the run is not affected. {type(error).__name__}: {error}"
                )

    def _report(
        self,
        snapshot: Snapshot,
        numbers: dict[str, float],
        args: Any,
        state: Any,
        control: Any,
        others: Mapping[str, Any],
    ) -> None:
        # As it was when the snapshot was taken, and nothing that they change is the trainer's.
        then = copy.copy(state)
        then.global_step = snapshot.step
        then.epoch = self._epochs.pop(snapshot.step, state.epoch)
        logs = numbers if then.epoch is None else {**numbers, "epoch": then.epoch}
        state.log_history.append({**logs, "step": snapshot.step})
        handler = self._handler and self._handler()
        # The other callbacks print what they are told of, or take it for the training's own.
        reporting = tuple(_loggers.INTEGRATION_TO_CALLBACK.values())
        for each in handler.callbacks if handler else ():
            if isinstance(each, reporting):
                each.on_log(args, then, copy.copy(control), **{**others, "logs": dict(logs)})

    def _load(self, folder: object, args: Any) -> None:
        if not isinstance(folder, str | os.PathLike):
            return
        try:
            self._watching.load(torch.load(Path(folder, _file_of(args)), weights_only=True))
        except FileNotFoundError:
            return
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
            warn(
                f"fathom: {_file_of(args)} of the checkpoint cannot be read, so this window begins "
                f"at the checkpoint; the training goes on. {type(error).__name__}: {error}"
            )


class _Mark:
    """Is let go of when a frame ends."""


def _callers() -> tuple[Any, FrameType | None]:
    """Return the list of callbacks that calls this one, and the frame of the training's loop."""
    handler, frame = None, sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if handler is None and isinstance(owner, _callbacks.CallbackHandler):
            handler = owner
        elif handler is not None and "resume_from_checkpoint" in frame.f_locals:
            return handler, frame
        frame = frame.f_back  # type: ignore[assignment]
    return handler, None


def _file_of(args: Any) -> str:
    return f"fathom-{args.process_index}.pt"
