"""Handlers for ignite: `FathomHandler(model, "runs/x").attach(trainer, evaluator=evaluator)`."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

from torch import nn

from fathom.extras import require
from fathom.integrations.watching import Watching

_engine: Any = require("ignite.engine", extra="ignite")


class FathomHandler:
    """Watches a model while an engine trains it; a snapshot after every epoch and its evaluation.

    Steps are the trainer's iterations, as its other loggers count. It can be an item of
    ignite's `Checkpoint`, to go on in the middle of a window.
    """

    def __init__(self, model: nn.Module, run: str | os.PathLike[str] | None = None, **options: Any):
        """Say what to watch, and where to record.

        Args:
            model: The model.
            run: A folder; None to record nothing.
            **options: For `fathom.watch`, such as `layers`, `budget` and `sinks`.
        """
        self._model = model
        self._watching = Watching(run, options)
        self._metrics: dict[str, object] = {}
        self._left_at = 0

    def attach(self, trainer: Any, *, evaluator: Any = None) -> Self:
        """Have the handlers called.

        Args:
            trainer: The engine that trains.
            evaluator: The engine that evaluates, whose metrics come with each snapshot; or a
                mapping of names to engines, whose metrics are then called `val_accuracy`, say.

        Returns:
            The handler itself.
        """
        events = _engine.Events
        trainer.add_event_handler(events.STARTED, self._begin)
        trainer.add_event_handler(events.ITERATION_COMPLETED, self._iteration_completed)
        trainer.add_event_handler(events.TERMINATE, self._end)
        trainer.add_event_handler(events.COMPLETED, self._end)
        trainer.add_event_handler(events.EXCEPTION_RAISED, self._fail)
        several = isinstance(evaluator, Mapping)
        engines = dict(evaluator) if several else {} if evaluator is None else {"": evaluator}
        for name, engine in engines.items():
            prefix = f"{name}_" if several else ""
            engine.add_event_handler(events.COMPLETED, partial(self._evaluated, prefix=prefix))
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs, to go on in the middle of a window."""
        return self._watching.state()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, when the trainer runs.

        Args:
            state_dict: What `state_dict` returned.
        """
        self._watching.load(state_dict)

    def _begin(self, trainer: Any) -> None:
        self._metrics = {}
        # Where it was left, nothing comes again; elsewhere it was put by a checkpoint.
        at = trainer.state.iteration
        after = None if at in (0, self._left_at) else at
        self._watching.begin(self._model, at=at, after=after)
        # Behind every handler that evaluates, whenever that was added.
        completed = _engine.Events.EPOCH_COMPLETED
        if trainer.has_event_handler(self._epoch_completed, completed):
            trainer.remove_event_handler(self._epoch_completed, completed)
        trainer.add_event_handler(completed, self._epoch_completed)

    def _iteration_completed(self, trainer: Any) -> None:
        self._watching.has_news = True

    def _evaluated(self, evaluator: Any, *, prefix: str) -> None:
        self._metrics |= {f"{prefix}{name}": n for name, n in evaluator.state.metrics.items()}

    def _epoch_completed(self, trainer: Any) -> None:
        metrics = {**trainer.state.metrics, **self._metrics}
        self._metrics = {}
        self._watching.snapshot(trainer.state.iteration, metrics)

    def _end(self, trainer: Any) -> None:
        if self._watching.has_news:
            self._epoch_completed(trainer)
        self._close(trainer)

    def _close(self, trainer: Any) -> None:
        self._left_at = trainer.state.iteration
        self._watching.close()

    def _fail(self, trainer: Any, error: BaseException) -> None:
        self._close(trainer)
        # An engine takes an error for handled where anyone hears of it. So the last of our own
        # handlers has it go on, but where the user has one: then it is for that one to say.
        hearing = trainer._event_handlers[_engine.Events.EXCEPTION_RAISED]
        owners = [getattr(each[0], "__self__", None) for each in hearing]
        if owners[-1] is self and all(isinstance(each, FathomHandler) for each in owners):
            raise error
