"""One number of one training, against the same written out."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from fathom.experiments.curves import curve, likeness, pattern
from fathom.experiments.findings.groups import kin
from fathom.experiments.findings.quantities import (
    ACCURACY,
    DIMENSION,
    FIRST_SATURATION,
    SATURATION,
    emerged,
    late_gain,
    late_saturation,
    settled,
    tail,
)
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import problem_of
from fathom.experiments.task import Task
from outcomes_made import layers_of, made


def of(model: str, rows: object = None, **others: object) -> Outcome:
    """A training whose eval saturation is `rows`: (epochs, layers)."""
    outcome = made(Task(data="digits", model=model, width=1.0))
    if rows is not None:
        others["saturation"] = {**outcome.saturation, "eval": np.array(rows, dtype=np.float64)}
    return replace(outcome, **others)  # type: ignore[arg-type]


def test_a_pattern_has_neither_shortcuts_nor_the_output_layer() -> None:
    outcome = of("resnet18")
    names = [outcome.layers[place] for place in pattern(outcome)]
    assert len(names) == 17
    assert names[0] == "conv1"
    assert names[-1] == "layer4.1.conv2"
    assert not [name for name in names if "downsample" in name]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ([0.5, 0.8, 0.8, 0.6, 0.3, 0.39, 0.2, 0.1, 0.1, 1.0], 5 / 9),
        ([0.5, 0.8, 0.8, 0.6, 0.3, 0.3, 0.2, 0.1, 0.5, 0.1], 0.0),
        ([0.5, 0.8, 0.3, 0.6, 0.3, 0.3, 0.4, 0.1, 0.1, 1.0], 2 / 9),
        ([0.5, 0.8, 0.3, 0.6, 0.3, math.nan, 0.1, 0.1, 0.1, 1.0], 3 / 9),
        ([0.0] * 10, 0.0),
        ([math.nan] * 10, math.nan),
    ],
)
def test_the_tail_is_what_ends_below_half_of_the_peak(last: list[float], expected: float) -> None:
    high = [0.9] * 10
    assert tail(of("vgg11", [high, last])) == pytest.approx(expected, nan_ok=True)


def test_the_second_half_of_seventeen_layers_is_the_last_two_stages() -> None:
    outcome = of("resnet18")
    rows = np.zeros((3, len(outcome.layers)))
    late = [place for place, name in enumerate(outcome.layers) if name[:6] in ("layer3", "layer4")]
    rows[-1, late] = np.arange(len(late)) / 20
    convolutions = [place for place in late if "downsample" not in outcome.layers[place]]
    assert len(convolutions) == 8
    expected = rows[-1, convolutions].mean()
    assert late_saturation(of("resnet18", rows)) == pytest.approx(expected)


def test_the_gain_of_probes_is_from_the_last_layer_of_the_first_half() -> None:
    probes = dict(zip(layers_of("resnet18"), np.linspace(0.1, 0.9, 21), strict=True))
    expected = probes["layer4.1.conv2"] - probes["layer2.1.conv2"]
    assert late_gain(of("resnet18", probes=probes)) == pytest.approx(expected)
    assert math.isnan(late_gain(of("resnet18", probes={"layer2.1.conv2": 0.5})))


def test_likeness_is_spearmans_of_each_epoch_with_the_last() -> None:
    rows = np.random.default_rng(3).random((6, 10))
    expected = [spearmanr(row[:-1], rows[-1, :-1]).statistic for row in rows]
    np.testing.assert_allclose(likeness(of("vgg11", rows)), expected, atol=1e-12)


def test_a_pattern_has_emerged_where_it_stays() -> None:
    last = np.linspace(0.9, 0.1, 10)
    other = last[::-1]
    for order, expected in (
        ([last, other, last, last], 3 / 4),
        ([last, last, last, last], 1 / 4),
        ([other, other, other, last], 1.0),
        ([np.ones(10), last, last, last], 2 / 4),
        ([np.full(10, math.nan), last, last, last], 2 / 4),
    ):
        assert emerged(likeness(of("vgg11", order))) == expected
    assert math.isnan(emerged(likeness(of("vgg11", [last, np.ones(10)]))))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 0.5, 0.09, 0.0], 3),
        ([1.0, 0.05, 0.5, 0.0], 4),
        ([0.0, 1.0, 0.95, 1.0], 2),
        ([0.3, 0.3, 0.3], math.nan),
        ([1.0, math.nan, 0.0], math.nan),
        ([], math.nan),
    ],
)
def test_a_curve_settles_where_it_stays_within_a_tenth_of_its_range(
    values: list[float], expected: float
) -> None:
    assert settled(np.array(values)) == pytest.approx(expected, nan_ok=True)


def test_saturation_is_of_the_layer_that_is_looked_at_else_the_average() -> None:
    rows = [[0.1, 0.2, 0.9], [0.3, 0.5, 0.8]]
    dense = of("dense", rows)
    assert SATURATION.of(dense) == 0.5
    assert SATURATION.name(dense) == "saturation of hidden"
    wide = of("vgg11", np.arange(20).reshape(2, 10) / 20)
    assert SATURATION.of(wide) == pytest.approx(np.arange(10, 19).mean() / 20)
    assert FIRST_SATURATION.of(wide) == pytest.approx(np.arange(9).mean() / 20)
    assert SATURATION.name(wide) == "average saturation"


def test_the_phase_is_that_of_the_test_data_unless_asked_for() -> None:
    outcome = of("vgg11")
    np.testing.assert_array_equal(
        curve(outcome, phase="train"), outcome.saturation["train"][:, :-1].mean(1)
    )
    assert not np.array_equal(curve(outcome), curve(outcome, phase="train"))


def test_dimension_and_accuracy_are_of_the_last_epoch() -> None:
    outcome = made(Task(data="digits", model="dense", width=8.0), dimension=7.0, accuracy=0.77)
    assert DIMENSION.of(outcome) == 7.0
    assert ACCURACY.of(outcome) == 0.77
    assert math.isnan(ACCURACY.of(replace(outcome, metrics={})))


def test_a_network_of_one_layer_has_no_average() -> None:
    outcome = of("vgg11", [[0.5], [0.6]], layers=("only",), widths=(10,))
    assert np.isnan(curve(outcome)).all()
    assert math.isnan(tail(outcome))
    assert math.isnan(late_saturation(outcome))
    assert math.isnan(late_gain(outcome))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("vgg16", ("vgg", "16", "")),
        ("resnet18-stride1", ("resnet", "18", "-stride1")),
        ("dense", ("dense", "", "")),
        ("autoencoder-inception", ("autoencoder-inception", "", "")),
    ],
)
def test_a_name_says_family_depth_and_variant(model: str, expected: tuple[str, str, str]) -> None:
    task = Task(data="digits", model=model, width=1.0)
    assert tuple(kin(replace(of("vgg16"), task=task))) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"data": "digits"}, "digits"),
        ({"data": "digits", "classes": 4}, "digits (4 classes)"),
        ({"data": "digits", "clutter": 0.5}, "digits (clutter 0.5)"),
        ({"data": "digits", "classes": 2, "clutter": 0.25}, "digits (2 classes, clutter 0.25)"),
        ({"data": "folder:" + "/a" * 40}, "folder:/a/a/a" + "…" + "/a" * 13),
    ],
)
def test_a_problem_in_words_says_what_was_asked_for(asked: dict[str, Any], expected: str) -> None:
    assert str(problem_of(made(Task(model="vgg11", width=1.0, **asked)))) == expected


def test_all_classes_are_one_problem_whether_their_number_was_asked_for_or_not() -> None:
    all_of_them, ten, two = (
        problem_of(made(Task(data="digits", model="vgg11", width=1.0, classes=classes)))
        for classes in (None, 10, 2)
    )
    assert all_of_them == ten != two
    assert all_of_them.classes == 10
