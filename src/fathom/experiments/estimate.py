"""How long an experiment still takes, from what its trainings took so far."""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fathom.experiments.models.build import build
from fathom.experiments.status import Progress
from fathom.experiments.task import Task

# What all models are compared on; how many classes there are hardly matters.
_SHAPE, _CLASSES = (3, 32, 32), 10


def seconds_left(tasks: Sequence[Progress]) -> float:
    """Return about how long it takes until nothing runs or waits.

    An epoch takes what it took in the repetitions of the same training. Where there is none yet, it
    is read off a line: the least squares of the seconds an epoch took on the multiply-adds of the
    model, over the trainings on the same data, or over all where there is none. The line neither
    falls nor begins below 0.

    Args:
        tasks: How far each is; as many as are running are trained at a time, and at least one.

    Returns:
        Seconds; nan where no epoch has ended yet. Failed tasks are left out.
    """
    unfinished = [each for each in tasks if each.state in ("running", "waiting")]
    if not unfinished:
        return 0.0
    pace = _pace([each for each in tasks if each.epochs and each.seconds > 0])
    if pace is None:
        return math.nan
    each_left = [(each.task.training.epochs - each.epochs) * pace(each.task) for each in unfinished]
    running = sum(each.state == "running" for each in unfinished)
    # However many work, the longest is done by one.
    return max(sum(each_left) / max(running, 1), *each_left)


@cache
def multiply_adds(model: str, width: float) -> int:
    """Return what a model computes for one picture, without computing it.

    Args:
        model: The name of an architecture.
        width: A share of its own width, or units.

    Returns:
        Products of its matrix products and convolutions, for a picture of 32×32 and 10 classes.
    """
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        made = build(model, width=width, classes=_CLASSES, shape=_SHAPE).eval()
        made(torch.empty(1, *_SHAPE))
    # It counts a product and a sum as two.
    return int(counter.get_total_flops()) // 2


def in_words(seconds: float) -> str:
    """Write a time as people say it.

    Args:
        seconds: The time.

    Returns:
        Such as `4.5 s`, `8 min` or `3 h 20 min`; a dash where it is nan.
    """
    if math.isnan(seconds):
        return "–"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{minutes} min"


def _pace(seen: Sequence[Progress]) -> Callable[[Task], float] | None:
    """Return a function from a task to the seconds of an epoch."""
    if not seen:
        return None

    def pace(task: Task) -> float:
        own = [each for each in seen if each.task.cell == task.cell]
        if own:
            # Those under way lack what comes after the last epoch.
            own = [each for each in own if each.state == "done"] or own
            return float(np.mean([each.seconds / each.epochs for each in own]))
        beside = [each for each in seen if each.task.cell[:3] == task.cell[:3]] or seen
        return _read_off(
            multiply_adds(task.model, task.width),
            [multiply_adds(each.task.model, each.task.width) for each in beside],
            [each.seconds / each.epochs for each in beside],
        )

    return pace


def _read_off(place: float, places: Sequence[float], values: Sequence[float]) -> float:
    x, y = np.asarray(places, dtype=float), np.asarray(values)
    away = x - x.mean()
    slope = away @ y / (away @ away) if away.any() else 0.0
    if slope <= 0:
        return float(y.mean())
    start = y.mean() - slope * x.mean()
    return float(start + slope * place if start >= 0 else place * (x @ y) / (x @ x))
