import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fathom
import reference
from fathom.errors import ArgumentError, ShapeError
from fathom.spectral.table import SPECTRAL_STATISTICS

OF_EIGENVALUES = [*SPECTRAL_STATISTICS.values(), fathom.rankme]
WITH_THRESHOLD = [fathom.intrinsic_dimension, fathom.saturation]
EXAMPLES = [
    [5.0, 4.0, 0.5, 0.25, 0.0],
    [1.0, 1.0, 1.0],
    [7.0],
    [1e-60, 1e-61, 1e-64],
    [1e60, 1e59, 1e40],
    (1.0 / np.arange(1, 200)).tolist(),
]


@pytest.mark.parametrize(("eigenvalues", "threshold", "k"), reference.DECIDING_CASES)
def test_deciding_cases(eigenvalues: list[float], threshold: float, k: int) -> None:
    assert fathom.intrinsic_dimension(eigenvalues, threshold=threshold) == k
    assert fathom.saturation(eigenvalues, threshold=threshold) == k / len(eigenvalues)
    assert reference.intrinsic_dimension(eigenvalues, threshold) == k


@pytest.mark.parametrize(("eigenvalues", "threshold", "k"), reference.DECIDING_CASES)
@pytest.mark.parametrize("scale", [1e-40, 3.7, 1e40])
def test_deciding_cases_at_any_scale(
    eigenvalues: list[float], threshold: float, k: int, scale: float
) -> None:
    scaled = [scale * value for value in eigenvalues]
    assert fathom.intrinsic_dimension(scaled, threshold=threshold) == k


def test_the_default_threshold_is_99_percent() -> None:
    # 198 of 200 equal eigenvalues are exactly 99 percent.
    assert fathom.intrinsic_dimension([1.0] * 200) == 198
    assert fathom.saturation([1.0] * 200) == 0.99


@pytest.mark.parametrize("tenths", range(1, 11))
@pytest.mark.parametrize("scale", [1.0, 0.1, 1 / 3, 1e-9])
def test_a_sum_that_equals_the_threshold_has_reached_it(tenths: int, scale: float) -> None:
    assert fathom.intrinsic_dimension([scale] * 10, threshold=tenths / 10) == tenths


def test_a_threshold_of_one_needs_every_direction_with_variance() -> None:
    assert fathom.intrinsic_dimension([4.0, 2.0, 1e-6, 0.0], threshold=1.0) == 3
    assert fathom.intrinsic_dimension([4.0, 2.0, 1e-6, 0.0], threshold=1) == 3


def test_intrinsic_dimension_near_the_end_of_the_range_of_a_float() -> None:
    assert fathom.intrinsic_dimension([1e308] * 10) == 10


@pytest.mark.parametrize("function", [*OF_EIGENVALUES, fathom.idle_features])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(list, id="list"),
        pytest.param(tuple, id="tuple"),
        pytest.param(np.array, id="array"),
        pytest.param(lambda v: np.array(v, dtype=np.float32), id="float32 array"),
        pytest.param(lambda v: np.array(v, dtype=np.int64), id="integer array"),
        pytest.param(torch.tensor, id="tensor"),
        pytest.param(lambda v: torch.tensor(v, dtype=torch.bfloat16), id="bfloat16 tensor"),
        pytest.param(lambda v: torch.tensor(v, requires_grad=True), id="tensor with grad"),
    ],
)
def test_any_container_in_python_number_out(
    function: Callable[..., float], make: Callable[[list[float]], Any]
) -> None:
    plain = [32.0, 16.0, 8.0, 4.0, 2.0, 1.0]
    result = function(make(plain))
    assert type(result) is (int if function is fathom.intrinsic_dimension else float)
    assert result == function(plain)


@pytest.mark.parametrize("function", OF_EIGENVALUES)
@pytest.mark.parametrize("eigenvalues", EXAMPLES)
def test_order_of_eigenvalues_does_not_matter(
    function: Callable[..., float], eigenvalues: list[float]
) -> None:
    np.testing.assert_equal(function(sorted(eigenvalues)), function(eigenvalues))


def test_an_input_is_not_changed() -> None:
    values = np.array([1.0, 3.0, -1e-9, 2.0])
    tensor = torch.tensor(values)
    for function in OF_EIGENVALUES:
        function(values)
        function(tensor)
    np.testing.assert_array_equal(values, [1.0, 3.0, -1e-9, 2.0])
    np.testing.assert_array_equal(tensor.numpy(), values)


@pytest.mark.parametrize("eigenvalues", EXAMPLES)
@pytest.mark.parametrize("name", ["effective_rank", "participation_ratio", "stable_rank"])
def test_ranks_against_the_reference(name: str, eigenvalues: list[float]) -> None:
    expected = getattr(reference, name)(eigenvalues)
    assert getattr(fathom, name)(eigenvalues) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["effective_rank", "participation_ratio", "stable_rank", "rankme"])
@pytest.mark.parametrize("d", [1, 2, 10, 49, 1000])
def test_a_flat_spectrum_has_the_full_rank(name: str, d: int) -> None:
    assert getattr(fathom, name)([0.3] * d) == pytest.approx(d, rel=1e-12)
    assert getattr(fathom, name)([0.3] * d + [0.0] * d) == pytest.approx(d, rel=1e-12)


@pytest.mark.parametrize("name", ["effective_rank", "participation_ratio", "stable_rank", "rankme"])
def test_eigenvalues_hundreds_of_orders_apart_count_as_one_direction(name: str) -> None:
    assert getattr(fathom, name)([1e200, 1e-200]) == pytest.approx(1.0, rel=1e-12)


def test_rankme_against_the_singular_values_of_rows_with_a_mean() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 12)) * np.linspace(0.1, 3, 12) + np.linspace(-5, 9, 12)
    second_moment = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    expected = reference.rankme(rows)
    assert fathom.rankme(second_moment) == pytest.approx(expected, rel=1e-10)
    # The centred spectrum would be another number altogether.
    assert abs(fathom.rankme(reference.eigenvalues(rows)) - expected) > 1


def test_total_variance_and_diagonal_trace_are_the_trace_of_the_covariance() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 7))
    trace = np.trace(reference.covariance(rows))
    assert fathom.total_variance(reference.eigenvalues(rows)) == pytest.approx(trace, rel=1e-12)
    assert fathom.diagonal_trace(reference.eigenvalues(rows)) == pytest.approx(trace, rel=1e-12)


def test_determinants_against_the_covariance_matrix() -> None:
    rows = np.random.default_rng(2).normal(size=(50, 6))
    sign, logarithm = np.linalg.slogdet(reference.covariance(rows))
    assert sign == 1
    values = reference.eigenvalues(rows)
    assert fathom.log_determinant(values) == pytest.approx(logarithm, rel=1e-12)
    assert fathom.determinant(values) == pytest.approx(math.exp(logarithm), rel=1e-12)


def test_determinants_of_a_singular_covariance() -> None:
    assert fathom.log_determinant([3.0, 0.0]) == -math.inf
    assert fathom.determinant([3.0, 0.0]) == 0.0


@pytest.mark.parametrize(("value", "out_of_range"), [(1e-10, 0.0), (1e10, math.inf)])
def test_only_the_logarithm_survives_a_wide_layer(value: float, out_of_range: float) -> None:
    values = [value] * 512
    assert fathom.log_determinant(values) == pytest.approx(512 * math.log(value), rel=1e-12)
    assert fathom.determinant(values) == out_of_range


@pytest.mark.parametrize("alpha", [0.25, 1.0, 2.5])
@pytest.mark.parametrize(("first", "last"), [(1, None), (3, 100), (10, 20), (99, 100)])
def test_power_law_exponent_is_exact_on_a_power_law(
    alpha: float, first: int, last: int | None
) -> None:
    values = 7.0 * np.arange(1, 151) ** -alpha
    fitted = fathom.power_law_exponent(values, first=first, last=last)
    assert fitted == pytest.approx(alpha, rel=1e-8)


def test_power_law_exponent_fits_ranks_3_to_100_unless_told() -> None:
    values = np.arange(1, 151) ** -1.5
    values[:2] *= 50
    values[100:] /= 50
    assert fathom.power_law_exponent(values) == pytest.approx(1.5, rel=1e-8)
    assert abs(fathom.power_law_exponent(values, first=1, last=None) - 1.5) > 0.1


def test_power_law_exponent_leaves_out_zeros() -> None:
    values = [1.0, 1 / 4, 1 / 9, 1 / 16, 0.0, 0.0]
    assert fathom.power_law_exponent(values, first=1) == pytest.approx(2.0, rel=1e-10)


@pytest.mark.parametrize("values", [[0.0] * 9, [1.0, 1.0, 1.0], [1.0], [4.0, 3.0, 2.0, 0.0]])
def test_power_law_exponent_of_fewer_than_two_points_is_nan(values: list[float]) -> None:
    assert math.isnan(fathom.power_law_exponent(values))


@pytest.mark.parametrize(("first", "last"), [(0, 5), (-2, 5), (5, 5), (6, 5)])
def test_power_law_exponent_refuses_an_empty_range(first: int, last: int) -> None:
    with pytest.raises(ArgumentError, match=rf"first and last .*got {first} and {last}\."):
        fathom.power_law_exponent([1.0] * 10, first=first, last=last)


def test_condition_number() -> None:
    assert fathom.condition_number([8.0, 4.0, 2.0]) == 4.0
    assert fathom.condition_number([5.0]) == 1.0
    assert fathom.condition_number([8.0, 0.0]) == math.inf


def test_idle_features_counts_variances_of_zero_up_to_rounding() -> None:
    assert fathom.idle_features([2.0, 0.0, 1.0, 0.0, 1e-17]) == 0.4
    assert fathom.idle_features([1e18, 1.0]) == 0.0
    assert fathom.idle_features([2.0, 1e-9, 1.0]) == 0.0
    assert fathom.idle_features([0.0, 0.0]) == 1.0


def test_idle_features_allow_for_the_resolution_of_float32_at_the_mean() -> None:
    variances, mean = [1.0, 1e-9, 1e-9], [0.0, -1000.0, 1.0]
    assert fathom.idle_features(variances, mean=mean) == pytest.approx(1 / 3)
    assert fathom.idle_features(variances) == 0.0


def test_idle_features_refuse_a_mean_of_another_shape() -> None:
    with pytest.raises(ShapeError, match=r"idle_features: mean .*\(2,\), got \(3,\)"):
        fathom.idle_features([1.0, 1.0], mean=[1.0, 1.0, 1.0])


ZEROS = {
    fathom.saturation: 0.0,
    fathom.intrinsic_dimension: 0,
    fathom.effective_rank: 0.0,
    fathom.rankme: 0.0,
    fathom.participation_ratio: 0.0,
    fathom.stable_rank: 0.0,
    fathom.total_variance: 0.0,
    fathom.diagonal_trace: 0.0,
    fathom.log_determinant: -math.inf,
    fathom.determinant: 0.0,
    fathom.power_law_exponent: math.nan,
    fathom.condition_number: math.nan,
}


def test_every_statistic_has_a_value_for_zeros() -> None:
    assert set(ZEROS) == set(OF_EIGENVALUES)


@pytest.mark.parametrize(("function", "expected"), ZEROS.items())
@pytest.mark.parametrize("d", [1, 5])
def test_a_spectrum_of_zeros(function: Callable[..., float], expected: float, d: int) -> None:
    np.testing.assert_equal(function([0.0] * d), expected)


@pytest.mark.parametrize("function", OF_EIGENVALUES)
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        pytest.param([], ShapeError, r"eigenvalues .*got \(0,\)", id="empty"),
        pytest.param([[1.0, 0.5]], ShapeError, r"eigenvalues .*got \(1, 2\)", id="2-D"),
        pytest.param(1.0, ShapeError, r"eigenvalues .*got \(\)", id="0-D"),
        pytest.param([1.0, math.nan], ArgumentError, "eigenvalues .*finite, got nan", id="nan"),
        pytest.param([1.0, math.inf], ArgumentError, "eigenvalues .*finite, got inf", id="inf"),
        pytest.param([1.0, -math.inf], ArgumentError, "eigenvalues .*got -inf", id="-inf"),
        pytest.param([1.0, -0.25], ArgumentError, r"eigenvalues .*got -0\.25", id="negative"),
        pytest.param([-0.25], ArgumentError, r"eigenvalues .*got -0\.25", id="all negative"),
    ],
)
@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_eigenvalues_that_cannot_be_are_refused(
    function: Callable[..., float],
    values: Any,
    error: type[ArgumentError],
    message: str,
    make: Callable[[Any], Any],
) -> None:
    with pytest.raises(error, match=message) as caught:
        function(make(values))
    assert isinstance(caught.value, ValueError)
    where = "total_variance" if function is fathom.diagonal_trace else function.__name__
    where = "log_determinant" if function is fathom.determinant else where
    assert str(caught.value).startswith(f"{where}: ")


@pytest.mark.parametrize("function", OF_EIGENVALUES)
def test_negative_eigenvalues_within_rounding_count_as_zero(
    function: Callable[..., float],
) -> None:
    np.testing.assert_equal(function([1.0, 0.5, -1e-9]), function([1.0, 0.5, 0.0]))


@pytest.mark.parametrize("function", WITH_THRESHOLD)
@pytest.mark.parametrize("threshold", [0, 0.0, 1.2, -1, math.nan, math.inf, "0.9", None])
def test_thresholds_outside_0_to_1_are_refused(
    function: Callable[..., float], threshold: Any
) -> None:
    message = rf"^{function.__name__}: threshold must be in \(0, 1\], got {threshold!r}\."
    with pytest.raises(ArgumentError, match=message) as caught:
        function([1.0, 1.0], threshold=threshold)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("values", [pytest.param([], id="empty"), pytest.param([[1.0]], id="2-D")])
def test_idle_features_name_their_own_argument(values: Any) -> None:
    with pytest.raises(ShapeError, match="idle_features: variances"):
        fathom.idle_features(values)
