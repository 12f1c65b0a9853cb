"""From few rows numbers read low: findings say so, of the trainings and of the comparison."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fathom.experiments.findings.claims import findings
from fathom.experiments.findings.rows import provisional
from fathom.experiments.outcome import Outcome
from fathom.experiments.task import Task
from outcomes_made import trainings

NOTE = "72 to 400 test pictures: fewer rows read lower"


def held_out(task: Task, noise: float) -> dict[str, Any]:
    few = task.classes == 2 or task.data == "seven-vs-nine"
    return {
        "level": 0.6 + 0.01 * (task.classes or 10) + 0.1 * task.width + noise / 10,
        "accuracy": 0.9 - 0.02 * (task.classes or 10) + noise / 10,
        "pictures": 72 if few else 400,
    }


def rows(outcome: Outcome, *numbers: float) -> Outcome:
    return replace(outcome, rows_per_width=np.array(numbers))


@pytest.mark.parametrize(
    ("axes", "claim"),
    [
        ({"classes": (2, 6, None)}, "Fewer classes saturate"),
        ({"data": ("digits", "seven-vs-nine")}, "A part of the classes"),
        ({"data": ("digits", "seven-vs-nine")}, "Past 45% average saturation, the harder"),
        ({"classes": (2, 6, None)}, "Past 45% average saturation, the harder"),
    ],
)
def test_a_comparison_of_problems_says_how_many_pictures_each_has(
    axes: dict[str, Any], claim: str
) -> None:
    found = findings(trainings(held_out, width=(1.0, 0.5, 0.25), **axes))
    (finding,) = [each for each in found if each.claim.startswith(claim)]
    assert NOTE in finding.note


def test_what_compares_within_a_problem_or_accuracies_alone_says_nothing_of_pictures() -> None:
    found = findings(trainings(held_out, width=(1.0, 0.5, 0.25), classes=(2, 6, None)))
    noted = {each.claim for each in found if "test pictures" in each.note}
    assert noted == {
        "Fewer classes saturate the same network less.",
        "Past 45% average saturation, the harder problem's accuracy falls faster.",
    }


def test_trainings_with_too_few_rows_are_counted_and_their_layers_named() -> None:
    first, second, third, *others = trainings(
        lambda task, noise: {}, model=("dense",), width=(8.0, 16.0)
    )
    outcomes = [
        rows(first, 2.0, 9.9, 36.0),
        rows(second, 2.0, 10.0, 36.0),
        rows(third, 10.0, np.nan, 36.0),
        *others,
    ]
    assert provisional(outcomes) == (
        "2 of 8 trainings have layers with fewer than 10 test rows a unit (input, hidden): their "
        "intrinsic dimension and saturation read low."
    )
    assert provisional(outcomes[1:]).startswith("1 of 7 trainings has layers")
    assert provisional(outcomes[2:]) == provisional([]) == ""


def test_of_many_layers_those_that_are_short_of_rows_most_often_are_named() -> None:
    wide, narrow = trainings(lambda task, noise: {}, model=("vgg11",), width=(1.0, 0.5))[:2]
    outcomes = [
        rows(wide, *[20.0] * 2, *[5.0] * 7, 36.0),
        rows(narrow, *[20.0] * 8, 5.0, 36.0),
    ]
    names = "(classifier.0, features.2, features.3, features.4, 3 more)"
    assert names in provisional(outcomes)
