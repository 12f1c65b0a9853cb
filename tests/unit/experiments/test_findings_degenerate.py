"""Trainings of which little can be said are told as such: no warning, no crash."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fathom.experiments.findings.claims import findings
from fathom.experiments.findings.finding import Finding
from fathom.experiments.outcome import Outcome
from outcomes_made import trainings

AXES: dict[str, Any] = {
    "data": ("digits", "seven-vs-nine"),
    "model": ("dense", "vgg11", "vgg13", "resnet18", "resnet18-stride1", "autoencoder"),
    "width": (1.0, 2.0, 4.0),
}
PROBES = {"layer2.1.conv2": 0.5, "layer4.1.conv2": 0.5}


def everything(epochs: int = 5, **axes: Any) -> list[Outcome]:
    return trainings(
        lambda task, noise: {"level": 0.6 + noise, "probes": PROBES},
        repetitions=3,
        epochs=epochs,
        **{**AXES, **axes},
    )


def flat(outcome: Outcome) -> Outcome:
    """Everything as it is in a network that does nothing."""
    return replace(
        outcome,
        saturation={phase: np.zeros_like(rows) for phase, rows in outcome.saturation.items()},
        intrinsic_dimension={
            phase: np.zeros_like(rows) for phase, rows in outcome.intrinsic_dimension.items()
        },
        metrics={name: np.ones_like(values) for name, values in outcome.metrics.items()},
        probes={},
    )


def unknown(outcome: Outcome) -> Outcome:
    """Everything as it is after a loss that is not finite."""
    return replace(
        outcome,
        saturation={
            phase: np.full_like(rows, math.nan) for phase, rows in outcome.saturation.items()
        },
        intrinsic_dimension={
            phase: np.full_like(rows, math.nan)
            for phase, rows in outcome.intrinsic_dimension.items()
        },
        metrics={name: np.full_like(values, math.nan) for name, values in outcome.metrics.items()},
        probes=dict.fromkeys(outcome.probes, math.nan),
    )


def test_the_same_everywhere_is_not_enough() -> None:
    found = findings([flat(each) for each in everything()])
    assert found
    assert {each.verdict for each in found} == {"not enough data"}
    assert all(each.note for each in found)


def test_numbers_that_are_not_finite_are_left_out_and_counted() -> None:
    outcomes = everything()
    found = findings([unknown(each) for each in outcomes])
    assert {each.claim for each in found} == {each.claim for each in findings(outcomes)}
    assert {each.verdict for each in found} == {"not enough data"}
    assert {each.trainings for each in found} == {0}
    (wide, _) = [each for each in found if each.claim.startswith("Wider networks are")][::2]
    assert "18 left out, without a number" in wide.note


def test_a_comparison_of_problems_counts_what_each_of_them_lacks() -> None:
    outcomes = everything(model=("vgg11",))
    outcomes[0] = unknown(outcomes[0])
    (found,) = [each for each in findings(outcomes) if "harder problem's" in each.claim]
    assert "digits: 1 left out, without a number" in found.note
    assert found.note.count("left out") == 1


def test_one_training_without_a_number_does_not_spoil_the_others() -> None:
    outcomes = trainings(
        lambda task, noise: {"accuracy": 0.1 * task.width + noise}, width=(1.0, 2.0, 3.0, 4.0)
    )
    spoilt = [unknown(outcomes[0]), *outcomes[1:]]
    claim = "Wider networks have a higher test accuracy."
    (finding,) = [each for each in findings(spoilt) if each.claim == claim]
    assert finding.verdict == "holds"
    assert finding.trainings == 15
    assert finding.note == "1 left out, without a number"


def test_one_width_is_named_as_the_lack() -> None:
    found = findings(everything(width=(1.0,)))
    wide = [each for each in found if each.claim.startswith("Wider")]
    assert wide
    assert {each.verdict for each in wide} == {"not enough data"}
    assert {each.note for each in wide} == {"1 of at least 3 values of width"}
    assert {each.repetitions for each in wide} == {3}


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_short_training_tells_nothing_of_what_is_early(epochs: int) -> None:
    found = [each for each in findings(everything(epochs=epochs)) if is_of_training(each)]
    assert len({each.claim for each in found}) == 3
    assert {each.verdict for each in found} == {"not enough data"}
    assert all(f"{epochs} of at least 4 epochs" in each.note for each in found)


def is_of_training(finding: Finding) -> bool:
    return any(word in finding.claim for word in ("last pattern", "first epoch", "settles"))


def test_a_training_without_its_other_is_no_pair() -> None:
    outcomes = [
        each
        for each in everything(model=("vgg11",))
        if not (each.task.data == "digits" and each.task.repetition == 2)
    ]
    claim = "A part of the classes saturates the same network less than all of them."
    (finding,) = [each for each in findings(outcomes) if each.claim == claim]
    assert (finding.trainings, finding.repetitions) == (12, 2)
    assert finding.note == "2 of at least 3 repetitions; 6 pairs"


def test_a_stratum_with_one_training_is_not_counted() -> None:
    outcomes = [
        each
        for each in trainings(lambda task, noise: {"level": 0.5 + noise}, width=(1.0, 2.0, 3.0))
        if each.task.repetition < 2 or each.task.width == 1.0
    ]
    claim = "Wider networks are less saturated."
    (finding,) = [each for each in findings(outcomes) if each.claim == claim]
    assert (finding.trainings, finding.repetitions) == (6, 2)
    assert finding.verdict == "not enough data"


def test_networks_that_stay_below_45_percent_say_nothing_of_what_is_past_it() -> None:
    found = findings(trainings(lambda task, noise: {"level": 0.3 + noise}, width=(1.0, 2.0, 3.0)))
    (finding,) = [each for each in found if each.claim.startswith("Past")]
    assert finding.verdict == "not enough data"
    assert "0 trainings of 0 networks past 45%" in finding.note


@pytest.mark.parametrize("probed", ["resnet18", "resnet18-stride1"])
def test_probes_of_one_variant_alone_are_not_compared(probed: str) -> None:
    outcomes = [
        each if each.task.model == probed else replace(each, probes={})
        for each in everything(model=("resnet18", "resnet18-stride1"))
    ]
    claims = {each.claim for each in findings(outcomes)}
    assert any("layers is less saturated" in claim for claim in claims)
    assert not [claim for claim in claims if "probes" in claim]
