from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fathom
import reference

Array = NDArray[np.float64]
fast = settings(max_examples=80, deadline=None)

# Zeros, and positive eigenvalues over 30 orders of magnitude.
eigenvalues = st.lists(
    st.just(0.0) | st.floats(1e-15, 1e15, allow_subnormal=False), min_size=1, max_size=40
)
thresholds = st.floats(0.01, 1.0)
scales = st.floats(1e-30, 1e30)
ROUNDING = 1e-12


def intrinsic_dimension_is_certain(values: list[float], threshold: float) -> bool:
    return reference.margin_at_cut(values, threshold) > ROUNDING


@fast
@given(eigenvalues, thresholds)
def test_intrinsic_dimension_is_that_of_exact_arithmetic(
    values: list[float], threshold: float
) -> None:
    assume(intrinsic_dimension_is_certain(values, threshold))
    expected = reference.intrinsic_dimension(values, threshold)
    assert fathom.intrinsic_dimension(values, threshold=threshold) == expected


@fast
@given(st.integers(1, 60), st.integers(1, 60), scales)
def test_a_flat_spectrum_that_reaches_the_threshold_exactly(d: int, k: int, scale: float) -> None:
    k = min(k, d)
    assert fathom.intrinsic_dimension([scale] * d, threshold=k / d) == k


@fast
@given(eigenvalues, thresholds)
def test_saturation_is_a_share_of_the_width(values: list[float], threshold: float) -> None:
    share = fathom.saturation(values, threshold=threshold)
    k = fathom.intrinsic_dimension(values, threshold=threshold)
    assert 0 <= share <= 1
    assert share == k / len(values)
    assert k <= np.count_nonzero(values)


@fast
@given(eigenvalues, thresholds, scales)
def test_saturation_is_unchanged_by_scale(
    values: list[float], threshold: float, scale: float
) -> None:
    assume(intrinsic_dimension_is_certain(values, threshold))
    scaled = [scale * value for value in values]
    assert fathom.saturation(scaled, threshold=threshold) == fathom.saturation(
        values, threshold=threshold
    )


@fast
@given(eigenvalues, thresholds, thresholds)
def test_intrinsic_dimension_grows_with_the_threshold(
    values: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert fathom.intrinsic_dimension(values, threshold=low) <= fathom.intrinsic_dimension(
        values, threshold=high
    )


@fast
@given(eigenvalues, st.randoms(use_true_random=False))
def test_the_order_of_eigenvalues_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for name in set(fathom.STATISTICS) - {"idle_features"}:
        function: Callable[..., float] = getattr(fathom, name)
        np.testing.assert_equal(function(shuffled), function(values), err_msg=name)


@pytest.mark.parametrize(
    "function",
    [fathom.effective_rank, fathom.participation_ratio, fathom.stable_rank, fathom.rankme],
)
@fast
@given(values=eigenvalues)
def test_ranks_lie_between_1_and_the_width(
    function: Callable[..., float], values: list[float]
) -> None:
    assume(any(values))
    assert 1 - ROUNDING <= function(values) <= np.count_nonzero(values) * (1 + ROUNDING)


@pytest.mark.parametrize("name", ["effective_rank", "participation_ratio", "stable_rank"])
@fast
@given(values=eigenvalues, scale=scales)
def test_ranks_are_those_of_the_reference_at_any_scale(
    name: str, values: list[float], scale: float
) -> None:
    assume(any(values))
    expected = pytest.approx(getattr(reference, name)(values), rel=1e-9)
    assert getattr(fathom, name)(values) == expected
    assert getattr(fathom, name)([scale * value for value in values]) == expected


@fast
@given(eigenvalues)
def test_ranks_are_in_the_order_of_their_entropies(values: list[float]) -> None:
    # Rényi entropies fall with their order: 1, 2 and infinity.
    assume(any(values))
    ranks = [
        fathom.effective_rank(values),
        fathom.participation_ratio(values),
        fathom.stable_rank(values),
    ]
    assert ranks[0] >= ranks[1] * (1 - ROUNDING)
    assert ranks[1] >= ranks[2] * (1 - ROUNDING)


@fast
@given(
    st.floats(0.05, 4.0),
    st.floats(1e-9, 1e9),
    st.integers(1, 20),
    st.integers(1, 80),
    st.integers(110, 200),
)
def test_power_law_exponent_is_exact_on_every_range(
    alpha: float, scale: float, first: int, length: int, d: int
) -> None:
    values: Array = scale * np.arange(1, d + 1, dtype=np.float64) ** -alpha
    fitted = fathom.power_law_exponent(values, first=first, last=first + length)
    assert fitted == pytest.approx(alpha, rel=1e-6)


@fast
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), st.floats(1e-3, 1e3))
def test_scale_moves_the_log_determinant_and_the_trace(values: list[float], scale: float) -> None:
    scaled = [scale * value for value in values]
    moved = fathom.log_determinant(values) + len(values) * np.log(scale)
    assert fathom.log_determinant(scaled) == pytest.approx(moved, rel=1e-9, abs=1e-9)
    assert fathom.total_variance(scaled) == pytest.approx(scale * sum(values), rel=1e-12)
