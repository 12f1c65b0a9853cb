"""The statistics over trainings, against scipy's and against their formulas written out."""

import math

import numpy as np
import pytest
from scipy import stats

from fathom.experiments.statistics import (
    Estimate,
    Slope,
    mean,
    rank_correlation,
    slope,
    slope_difference,
)


def drawn(count: int, *, correlation: float, generator: np.random.Generator) -> np.ndarray:
    """(2, count) normal numbers."""
    first, second = generator.standard_normal((2, count))
    return np.array([first, correlation * first + math.sqrt(1 - correlation**2) * second])


@pytest.mark.parametrize("ties", [False, True])
def test_of_one_stratum_it_is_scipys(ties: bool) -> None:
    x, y = drawn(30, correlation=0.5, generator=np.random.default_rng(1))
    if ties:
        x, y = np.round(x), np.round(y)
    assert rank_correlation(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_of_strata_it_is_pearsons_of_their_centred_ranks() -> None:
    generator = np.random.default_rng(2)
    x, y = drawn(24, correlation=0.5, generator=generator)
    strata = list("aaabbbbbcccccccccccccccc")
    parts = [np.array([each == label for each in strata]) for label in "abc"]
    ranks = np.zeros((2, 24))
    for part in parts:
        for row, values in enumerate((x, y)):
            inside = stats.rankdata(values[part])
            ranks[row, part] = inside - inside.mean()
    expected = stats.pearsonr(*ranks).statistic
    order = generator.permutation(24)
    found = rank_correlation(x[order], y[order], strata=[strata[place] for place in order])
    assert found.value == pytest.approx(expected)


def test_a_stratum_of_another_level_changes_nothing() -> None:
    x, y = drawn(20, correlation=0.6, generator=np.random.default_rng(3))
    strata = [0] * 10 + [1] * 10
    moved = y + np.repeat([0, 100], 10)
    assert rank_correlation(x, moved, strata=strata) == rank_correlation(x, y, strata=strata)


@pytest.mark.parametrize("strata", [1, 4])
def test_the_interval_is_fishers_with_bonett_and_wrights_error(strata: int) -> None:
    x, y = drawn(20, correlation=0.6, generator=np.random.default_rng(4))
    labels = [place % strata for place in range(20)]
    value, low, high = rank_correlation(x, y, strata=labels)
    error = math.sqrt((1 + value**2 / 2) / (20 - strata + 1 - 3))
    assert low == pytest.approx(math.tanh(math.atanh(value) - 1.959963984540054 * error))
    assert high == pytest.approx(math.tanh(math.atanh(value) + 1.959963984540054 * error))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_order_has_an_interval_that_reaches_to_one(sign: int) -> None:
    x = np.arange(8.0)
    found = rank_correlation(x, sign * x)
    # What ρ is after two neighbours of eight have changed places.
    swapped = stats.spearmanr(x, [1, 0, 2, 3, 4, 5, 6, 7]).statistic
    error = math.sqrt((1 + swapped**2 / 2) / 5)
    inner = math.tanh(math.atanh(swapped) - 1.959963984540054 * error)
    assert found.value == sign
    assert sorted(map(abs, found[1:])) == pytest.approx([inner, 1.0])


def test_the_interval_covers_the_truth_in_19_of_20_draws() -> None:
    """Of five in each of five strata: the mean of ρ in so few is known (Moran 1948)."""
    generator = np.random.default_rng(5)
    correlation, inside, strata = 0.5, 5, 5
    truth = (6 / (math.pi * (inside + 1))) * (
        math.asin(correlation) + (inside - 2) * math.asin(correlation / 2)
    )
    labels = np.repeat(np.arange(strata), inside).tolist()
    hits = 0
    for _ in range(400):
        x, y = drawn(inside * strata, correlation=correlation, generator=generator)
        _, low, high = rank_correlation(x, y, strata=labels)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.98


@pytest.mark.parametrize(
    ("x", "y"),
    [([], []), ([1.0], [2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, 2.0], [3.0, 3.0])],
)
def test_what_has_no_order_has_no_correlation(x: list[float], y: list[float]) -> None:
    assert all(map(math.isnan, rank_correlation(x, y)))


def test_too_few_have_a_value_and_no_interval() -> None:
    found = rank_correlation([1, 2, 3], [1, 2, 3])
    assert found.value == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_mean_has_students_interval() -> None:
    values = np.random.default_rng(6).normal(3, 2, 9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean(values) == pytest.approx((values.mean(), *expected))


def test_alike_values_are_as_uncertain_as_their_rounding() -> None:
    assert mean([2.0, 2.0, 2.0])[0] == 2.0
    assert math.isnan(mean([2.0, 2.0, 2.0]).low)
    found = mean([2.0, 2.0, 2.0, 2.0], resolution=0.3)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 3) * 0.3 / 2)
    assert all(map(math.isnan, mean([])))
    assert math.isnan(mean([1.0], resolution=0.3).low)


def test_a_slope_is_scipys() -> None:
    x, y = drawn(12, correlation=0.7, generator=np.random.default_rng(7))
    expected, found = stats.linregress(x, y), slope(x, y)
    assert (found.value, found.error) == pytest.approx((expected.slope, expected.stderr))
    reach = stats.t.ppf(0.975, 10) * expected.stderr
    assert found.estimate == pytest.approx(
        (expected.slope, expected.slope - reach, expected.slope + reach)
    )


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0] * 3, [1.0, 2.0, 3.0]),
    ],
)
def test_points_without_a_slope(x: list[float], y: list[float]) -> None:
    found = slope(x, y)
    assert math.isnan(found.value)
    assert all(map(math.isnan, found.estimate))
    assert all(map(math.isnan, slope_difference(found, Slope(1.0, 0.1, 5))))


def test_points_on_a_line_are_as_uncertain_as_their_rounding() -> None:
    x, squares = [1.0, 2.0, 3.0, 4.0], 5.0
    for y, expected in (([0.1] * 4, 0.0), ([0.3, 0.5, 0.7, 0.9], 0.2)):
        found = slope(x, y, resolution=0.03)
        assert found.value == pytest.approx(expected)
        reach = stats.t.ppf(0.975, 2) * 0.03 / math.sqrt(squares)
        assert found.estimate == pytest.approx((expected, expected - reach, expected + reach))
    flat = slope(x, [0.1] * 4)
    assert (flat.value, flat.error) == (0.0, 0.0)
    assert math.isnan(flat.estimate.low)


def test_a_difference_of_slopes_has_welchs_interval() -> None:
    first, second = Slope(2.0, 0.3, 10), Slope(0.5, 0.6, 4)
    free = (0.3**2 + 0.6**2) ** 2 / (0.3**4 / 10 + 0.6**4 / 4)
    reach = stats.t.ppf(0.975, free) * math.sqrt(0.3**2 + 0.6**2)
    assert slope_difference(first, second) == pytest.approx((1.5, 1.5 - reach, 1.5 + reach))
    assert slope_difference(first, Slope(1.0, 0.0, 4)) == pytest.approx(
        (1.0, 1.0 - stats.t.ppf(0.975, 10) * 0.3, 1.0 + stats.t.ppf(0.975, 10) * 0.3)
    )
    assert slope_difference(Slope(2.0, 0.0, 3), Slope(1.0, 0.0, 3))[0] == 1.0


def test_an_estimate_of_nothing_is_nan() -> None:
    assert all(map(math.isnan, Estimate()))
