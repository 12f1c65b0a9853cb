"""Each claim holds where its effect is planted, does not where it is turned round, and says so."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from fathom.experiments.findings.claims import findings
from fathom.experiments.findings.finding import Finding
from fathom.experiments.outcome import Outcome
from fathom.experiments.task import Task
from outcomes_made import trainings

SHARES = (1.0, 0.5, 0.25)
UNITS = (8.0, 16.0, 32.0)


class Case(NamedTuple):
    """A claim, and how it is planted: with `sign` 1 as it is claimed, with −1 turned round."""

    claim: str
    effects: Callable[[int, Task, float], Mapping[str, Any]]
    axes: Mapping[str, Any]
    expected: int = 1
    """How many findings of the claim there are to be."""


def doublings(task: Task) -> float:
    return math.log2(task.width / (8 if task.model in ("dense", "autoencoder") else 0.25))


def saturated_by_width(sign: int, task: Task, noise: float) -> dict[str, Any]:
    return {"level": 0.5 - sign * 0.1 * doublings(task) + noise}


def inaccurate(sign: int, task: Task, noise: float) -> dict[str, Any]:
    level = 0.6 - 0.1 * doublings(task)
    return {"level": level, "accuracy": 0.8 - sign * (level - 0.4) + noise}


def steeper(hard: Callable[[Task], bool]) -> Callable[[int, Task, float], dict[str, Any]]:
    def effects(sign: int, task: Task, noise: float) -> dict[str, Any]:
        level = 0.75 - 0.1 * doublings(task)
        fall = 1 + sign * 0.5 * hard(task)
        return {"level": level, "accuracy": 0.9 - fall * (level - 0.45) + noise / 10}

    return effects


def deep_tail(sign: int, task: Task, noise: float) -> dict[str, Any]:
    count = int(task.model.removeprefix("vgg")) - 2
    return {"tail": count - 7 if sign > 0 else 3}


def resnet_tail(sign: int, task: Task, noise: float) -> dict[str, Any]:
    has_tail = ("stride1" in task.model) == (sign < 0)
    return {"level": 0.4 + noise, "tail": 9 if has_tail else 0}


def resnet_probes(sign: int, task: Task, noise: float) -> dict[str, Any]:
    gain = 0.2 + sign * (0.1 if "stride1" in task.model else 0.0) + noise
    return {"probes": {"layer2.1.conv2": 0.5, "layer4.1.conv2": 0.5 + gain, "fc": 0.0}}


def started(sign: int, task: Task, noise: float) -> dict[str, Any]:
    level = 0.5 - 0.1 * doublings(task) + noise
    return {"level": level, "first_level": 0.6 + sign * (level - 0.5)}


RESNETS = {"model": ("resnet18", "resnet18-stride1"), "width": (1.0, 0.5)}
CASES = (
    Case(
        "Wider layers have a higher intrinsic dimension.",
        lambda sign, task, noise: {"dimension": 20 + sign * doublings(task) + noise},
        {"model": ("dense", "autoencoder"), "width": UNITS},
        expected=2,
    ),
    Case(
        "Wider layers are less saturated.",
        saturated_by_width,
        {"model": ("dense", "autoencoder"), "width": UNITS},
        expected=2,
    ),
    Case(
        "Wider networks are less saturated.",
        saturated_by_width,
        {"width": SHARES, "model": ("vgg11", "vgg16")},
    ),
    Case(
        "Wider networks have a higher test accuracy.",
        lambda sign, task, noise: {"accuracy": 0.8 + sign * 0.05 * doublings(task) + noise},
        {"width": SHARES, "data": ("digits", "folder:/pictures")},
        expected=2,
    ),
    Case("More saturated networks have a lower test accuracy.", inaccurate, {"width": SHARES}),
    Case(
        "More saturated networks have a lower test accuracy.",
        inaccurate,
        {"model": ("dense",), "width": UNITS},
    ),
    Case(
        "Past 45% average saturation, accuracy falls as saturation rises.",
        lambda sign, task, noise: inaccurate(sign, task, noise) | {"level": 0.7 - task.width / 5},
        {"width": SHARES},
    ),
    Case(
        "Past 45% average saturation, the harder problem's accuracy falls faster.",
        steeper(lambda task: task.data == "digits"),
        {"width": SHARES, "data": ("seven-vs-nine", "digits")},
    ),
    Case(
        "Past 45% average saturation, the harder problem's accuracy falls faster.",
        steeper(lambda task: task.clutter == 1.0),
        {"width": SHARES, "clutter": (0.0, 0.5, 1.0)},
    ),
    Case(
        "Past 45% average saturation, the harder problem's accuracy falls faster.",
        steeper(lambda task: task.classes is None),
        {"width": SHARES, "classes": (2, 5, None)},
    ),
    Case(
        "The tail of low saturation is a larger share of the layers in wider networks.",
        lambda sign, task, noise: {"tail": 4 + sign * int(doublings(task))},
        {"width": SHARES},
    ),
    Case(
        "The tail of low saturation is a larger share of the layers in deeper networks.",
        deep_tail,
        {"model": ("vgg11", "vgg13", "vgg16", "vgg19")},
    ),
    Case(
        "With its early downsampling the second half of a ResNet's layers is less saturated.",
        resnet_tail,
        RESNETS,
    ),
    Case(
        "With its early downsampling probes gain less over the second half of a ResNet's layers.",
        resnet_probes,
        RESNETS,
    ),
    Case(
        "Fewer classes saturate the same network less.",
        lambda sign, task, noise: {"level": 0.4 + sign * 0.02 * (task.classes or 10) + noise},
        {"classes": (2, 6, None)},
    ),
    Case(
        "A part of the classes saturates the same network less than all of them.",
        lambda sign, task, noise: {"level": 0.4 + sign * 0.1 * (task.data == "digits") + noise},
        {"data": ("digits", "seven-vs-nine", "unbalanced-digits"), "width": (1.0, 0.5)},
    ),
    Case(
        "More clutter saturates the same network more.",
        lambda sign, task, noise: {"level": 0.5 + sign * 0.1 * task.clutter + noise},
        {"clutter": (0.0, 0.5, 1.0)},
    ),
    Case(
        "More classes lower the test accuracy of the same network.",
        lambda sign, task, noise: {"accuracy": 0.5 - sign * 0.02 * (task.classes or 10) + noise},
        {"classes": (2, 6, None)},
    ),
    Case(
        "More clutter lowers the test accuracy of the same network.",
        lambda sign, task, noise: {"accuracy": 0.5 - sign * 0.2 * task.clutter + noise},
        {"clutter": (0.0, 0.5, 1.0)},
    ),
    Case(
        "The last pattern of saturation is there before half of the training.",
        lambda sign, task, noise: {"late_pattern": sign < 0},
        {},
    ),
    Case(
        "Networks that end more saturated were more saturated after the first epoch.",
        started,
        {"width": SHARES},
    ),
    Case(
        "Saturation settles before the training loss does.",
        lambda sign, task, noise: {"settling": (0.5, 2.0)[::sign]},
        {"model": ("dense", "vgg16"), "width": (1.0,)},
        expected=2,
    ),
)
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim[:40])


def planted(case: Case, *, sign: int = 1, repetitions: int = 4, epochs: int = 5) -> list[Outcome]:
    return trainings(
        lambda task, noise: case.effects(sign, task, noise),
        repetitions=repetitions,
        epochs=epochs,
        **case.axes,
    )


def read(case: Case, outcomes: Sequence[Outcome]) -> list[Finding]:
    found = [each for each in findings(outcomes) if each.claim == case.claim]
    assert len(found) == case.expected
    return found


@each_case
def test_a_planted_effect_holds(case: Case) -> None:
    outcomes = planted(case)
    for finding in read(case, outcomes):
        assert finding.verdict == "holds"
        assert finding.low <= finding.value <= finding.high
        assert finding.low < finding.high
        assert finding.repetitions == 4
        assert 0 < finding.trainings <= len(outcomes)


@each_case
def test_a_reversed_effect_does_not_hold(case: Case) -> None:
    for finding in read(case, planted(case, sign=-1)):
        assert finding.verdict == "does not hold"
        assert finding.note.startswith("the other way round")


@each_case
def test_two_repetitions_are_not_enough(case: Case) -> None:
    for finding in read(case, planted(case, repetitions=2)):
        assert finding.verdict == "not enough data"
        assert "2 of at least 3 repetitions" in finding.note


@pytest.mark.parametrize("case", CASES[:-1], ids=lambda case: case.claim[:40])
def test_two_values_of_an_axis_are_not_enough_for_a_correlation(case: Case) -> None:
    fewer = {
        name: values[::2] if len(values) > 2 and name != "data" else values
        for name, values in case.axes.items()
    }
    case = case._replace(axes=fewer)
    found = read(case, planted(case))
    for finding in found:
        if "ρ of" in finding.statistic:
            assert finding.verdict == "not enough data"
            assert "2 of at least 3 values" in finding.note


def test_no_effect_is_an_interval_around_0() -> None:
    outcomes = trainings(lambda task, noise: {"level": 0.5 + noise}, width=SHARES, repetitions=6)
    (finding,) = [e for e in findings(outcomes) if e.claim == "Wider networks are less saturated."]
    assert finding.verdict == "does not hold"
    assert finding.note == "the interval includes 0"


def test_what_trainings_cannot_speak_to_is_not_listed() -> None:
    dense = {
        each.claim for each in findings(trainings(lambda *_: {}, model=("dense",), width=UNITS))
    }
    assert dense == {
        "Wider layers have a higher intrinsic dimension.",
        "Wider layers are less saturated.",
        "Wider networks have a higher test accuracy.",
        "More saturated networks have a lower test accuracy.",
        "Saturation settles before the training loss does.",
    }
    coded = trainings(lambda *_: {}, model=("autoencoder",), width=UNITS)
    assert not [each for each in findings(coded) if "accuracy" in each.claim]
    assert findings([]) == []


def test_a_claim_is_read_of_each_data_set_and_family_apart() -> None:
    outcomes = trainings(
        saturated_one_way_only,
        data=("digits", "cifar10"),
        model=("vgg16", "resnet18"),
        width=SHARES,
    )
    verdicts = {
        each.group: each.verdict
        for each in findings(outcomes)
        if each.claim == "Wider networks are less saturated."
    }
    assert verdicts == {
        "digits, vgg16": "holds",
        "digits, resnet18": "does not hold",
        "cifar10, vgg16": "does not hold",
        "cifar10, resnet18": "does not hold",
    }


def saturated_one_way_only(task: Task, noise: float) -> dict[str, Any]:
    sign = 1 if (task.data, task.model) == ("digits", "vgg16") else -1
    return saturated_by_width(sign, task, noise)


def test_groups_say_which_problems_they_are_of() -> None:
    outcomes = trainings(lambda *_: {}, classes=(2, 4, None), clutter=(0.0, 0.5))
    groups = {each.group for each in findings(outcomes) if each.claim.startswith("Fewer classes")}
    assert groups == {"digits (2 to 10 classes, clutter 0 to 0.5), vgg16"}


def test_the_problem_is_a_stratum_and_no_part_of_the_effect_of_width() -> None:
    """Pooled, the harder problem's level would hide the width's effect."""
    outcomes = trainings(
        lambda task, noise: {
            "level": (0.7 if task.classes is None else 0.2) - 0.02 * doublings(task) + noise / 10
        },
        classes=(2, None),
        width=SHARES,
    )
    (finding,) = [e for e in findings(outcomes) if e.claim == "Wider networks are less saturated."]
    assert finding.value == -1.0


def test_depths_are_compared_within_a_variant() -> None:
    """Without strata, the long tail of the shallow variant would hide what depth does."""
    outcomes = trainings(
        lambda task, noise: {
            "tail": 15 if task.model == "resnet18-stride1" else 29 if "34" in task.model else 3
        },
        model=("resnet18", "resnet34", "resnet18-stride1", "resnet34-stride1"),
    )
    (finding,) = [each for each in findings(outcomes) if "deeper networks" in each.claim]
    assert finding.value == 1.0
    assert finding.note == "2 of at least 3 values of number of layers"
