"""Accuracy past 45% average saturation: what is flat, what rises, and which problem lacks what."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fathom.experiments.findings.claims import findings
from fathom.experiments.findings.finding import Finding
from fathom.experiments.task import Task
from outcomes_made import trainings

FALLS = "Past 45% average saturation, accuracy falls as saturation rises."
STEEPER = "Past 45% average saturation, the harder problem's accuracy falls faster."


def read(claim: str, effects: Callable[[Task, float], dict[str, Any]], **axes: Any) -> Finding:
    axes = {"width": (1.0, 0.5, 0.25), **axes}
    (found,) = [each for each in findings(trainings(effects, **axes)) if each.claim == claim]
    return found


def level(task: Task) -> float:
    return 0.75 - 0.1 * math.log2(task.width / 0.25)


def test_a_flat_accuracy_is_known_to_one_picture_and_does_not_fall() -> None:
    found = read(FALLS, lambda task, noise: {"level": level(task), "accuracy": 0.97})
    assert found.verdict == "does not hold"
    assert found.note == "the interval includes 0"
    levels = np.repeat([0.55, 0.65, 0.75], 4)
    error = 1 / 400 / math.sqrt(12) / math.sqrt(((levels - 0.65) ** 2).sum())
    reach = stats.t.ppf(0.975, 10) * error
    assert (found.value, found.low, found.high) == pytest.approx((0.0, -reach, reach))


@pytest.mark.parametrize("slope", [0.2, 0.0])
def test_what_rises_more_slowly_does_not_fall_faster(slope: float) -> None:
    def effects(task: Task, noise: float) -> dict[str, Any]:
        rises = slope if task.data == "digits" else 1.0
        return {"level": level(task), "accuracy": 0.2 + rises * level(task) + noise / 10}

    found = read(STEEPER, effects, data=("digits", "seven-vs-nine"))
    assert found.value == pytest.approx(slope - 1, abs=0.02)
    assert found.high < 0
    assert found.verdict == "does not hold"
    assert found.note.startswith("the harder problem's own slope is ")


def test_the_problem_that_lacks_networks_is_named() -> None:
    def effects(task: Task, noise: float) -> dict[str, Any]:
        easy = task.data != "digits"
        return {"level": level(task) - 0.5 * easy, "accuracy": 0.9 - level(task) / 2 + noise}

    found = read(STEEPER, effects, data=("digits", "seven-vs-nine"))
    assert found.verdict == "not enough data"
    assert found.note.startswith("seven-vs-nine: 0 trainings of 0 networks past 45%;")
