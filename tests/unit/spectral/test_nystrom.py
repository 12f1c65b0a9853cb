"""What a sketch says of a covariance, against the whole covariance."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import fathom
import reference
from fathom.spectral.nystrom import leading
from fathom.spectral.remainder import Remainder
from fathom.spectral.sketch import Sketch
from fathom.spectral.spectrum import Spectrum

D, L = 200, 48


def rows_with(eigenvalues: Tensor, n: int = 600, *, mean: float = 0.0) -> Tensor:
    """Rows of covariance about these eigenvalues, in directions at random."""
    generator = torch.Generator().manual_seed(len(eigenvalues))
    turned = torch.randn(D, D, generator=generator, dtype=torch.float64)
    directions: Tensor = torch.linalg.qr(turned).Q[: len(eigenvalues)]
    rows = torch.randn(n, len(eigenvalues), generator=generator, dtype=torch.float64)
    return rows * eigenvalues.sqrt() @ directions + mean


def sketched(rows: Tensor, *, columns: int = L) -> Sketch:
    return Sketch.zeros(rows.shape[1], columns=columns).update(rows)


RANKS = torch.arange(1, D + 1, dtype=torch.float64)
SPECTRA = {
    "power 0.7": RANKS**-0.7,
    "power 1.5": RANKS**-1.5,
    "power 2": RANKS**-2,
    "power 3": RANKS**-3,
    "exponential 6": torch.exp(-RANKS / 6),
    "exponential 12": torch.exp(-RANKS / 12),
    "flat": torch.ones(D, dtype=torch.float64),
    "step with a tail of 2%": torch.where(RANKS <= 20, 1.0, 20 * 0.02 / (D - 20)),
    "step with a tail of 0.9%": torch.where(RANKS <= 20, 1.0, 20 * 0.009 / (D - 20)),
}
each_spectrum = pytest.mark.parametrize("eigenvalues", SPECTRA.values(), ids=SPECTRA.keys())


@pytest.mark.parametrize("mean", [0.0, 1e3])
@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float64, 1e-8), (torch.float32, 2e-6)], ids=["64", "32"]
)
def test_it_is_exact_of_fewer_directions_than_columns(
    dtype: torch.dtype, within: float, mean: float
) -> None:
    rows = rows_with(RANKS[:30] ** -1.0, mean=mean).to(dtype)
    found = leading(sketched(rows))
    truth = reference.eigenvalues(rows)
    # At such a mean the rows themselves have a rounding that spreads in all directions.
    noise = (torch.finfo(dtype).eps * mean) ** 2
    np.testing.assert_allclose(
        found.eigenvalues, truth[:L], rtol=0, atol=within * truth[0] + 4 * noise
    )
    assert found.total == pytest.approx(truth.sum(), rel=within)
    spectrum = Spectrum.of(sketched(rows))
    k = reference.intrinsic_dimension(truth)
    assert spectrum.statistics()["intrinsic_dimension"] == spectrum.at_least() == k
    assert spectrum.captured == pytest.approx(1, abs=1e-5)


@each_spectrum
def test_eigenvalues_are_below_the_true_ones_and_the_trace_is_exact(eigenvalues: Tensor) -> None:
    rows = rows_with(eigenvalues)
    found = leading(sketched(rows))
    truth = reference.eigenvalues(rows)
    values = found.eigenvalues.numpy()
    assert (values <= truth[:L] + 1e-9 * truth[0]).all()
    assert (values[:-1] >= values[1:]).all()
    assert found.total == pytest.approx(truth.sum(), rel=1e-12)


@each_spectrum
def test_the_residual_is_about_that_of_the_approximation_itself(eigenvalues: Tensor) -> None:
    rows = rows_with(eigenvalues)
    sketch = sketched(rows)
    covariance = torch.from_numpy(reference.covariance(rows))
    products, signs = covariance @ sketch.signs.values.double(), sketch.signs.values.double()
    approximation = products @ torch.linalg.solve(signs.T @ products, products.T)
    expected = float((covariance - approximation).norm())
    # Of a spectrum that falls off fast, one column fewer leaves much more.
    assert 0.95 * expected <= leading(sketch).residual <= 4 * expected


@each_spectrum
@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.99, 0.999])
def test_no_number_is_wrong_without_saying_so(eigenvalues: Tensor, threshold: float) -> None:
    rows = rows_with(eigenvalues)
    truth = reference.intrinsic_dimension(reference.eigenvalues(rows), threshold)
    spectrum = Spectrum.of(sketched(rows))
    found = spectrum.statistics(threshold)["intrinsic_dimension"]
    assert spectrum.at_least(threshold) <= truth
    assert math.isnan(found) or truth <= found <= max(1.25 * truth, truth + 1)
    assert math.isnan(found) or found <= L


def test_a_dimension_just_beyond_the_threshold_is_not_called_larger_than_all_columns() -> None:
    """Of these columns 99% cannot be had, and yet fewer directions than columns carry it."""
    rows = rows_with(SPECTRA["step with a tail of 0.9%"])
    spectrum = Spectrum.of(sketched(rows))
    truth = reference.intrinsic_dimension(reference.eigenvalues(rows))
    assert math.isnan(spectrum.statistics()["intrinsic_dimension"])
    assert spectrum.at_least() <= truth < L


def test_a_spectrum_of_a_sketch_says_so() -> None:
    spectrum = Spectrum.of(sketched(rows_with(SPECTRA["power 1.5"])), with_rankme=True)
    assert spectrum.sketched
    assert spectrum.width == D
    assert spectrum.eigenvalues.shape == (L,)
    assert spectrum.rows_per_width == 600 / D
    carried = float(spectrum.eigenvalues.sum()) / spectrum.statistics()["total_variance"]
    assert spectrum.captured == pytest.approx(carried)
    assert 0.8 < spectrum.captured < 1
    with pytest.raises(fathom.ArgumentError, match=r"must be all 200, got the 48 leading ones"):
        fathom.saturation(spectrum)


def test_the_statistics_of_a_sketch_are_right_or_nan() -> None:
    rows = rows_with(SPECTRA["power 2"])
    truth = reference.eigenvalues(rows)
    spectrum = Spectrum.of(sketched(rows), with_rankme=True)
    numbers = spectrum.statistics(0.95)
    assert numbers["saturation"] == numbers["intrinsic_dimension"] / D
    assert numbers["total_variance"] == pytest.approx(truth.sum(), rel=1e-12)
    assert numbers["diagonal_trace"] == numbers["total_variance"]
    assert numbers["stable_rank"] == pytest.approx(reference.stable_rank(truth), rel=1e-3)
    expected = reference.participation_ratio(truth)
    assert numbers["participation_ratio"] == pytest.approx(expected, rel=3e-3)
    assert numbers["idle_features"] == 0
    unknown = {"effective_rank", "log_determinant", "determinant", "power_law_exponent", "rankme"}
    assert all(math.isnan(numbers[name]) for name in (*unknown, "condition_number"))
    assert set(numbers) == set(fathom.STATISTICS)


def test_of_a_flat_spectrum_little_is_said() -> None:
    spectrum = Spectrum.of(sketched(rows_with(SPECTRA["flat"])))
    numbers = spectrum.statistics()
    assert math.isnan(numbers["stable_rank"])
    assert math.isnan(numbers["saturation"])
    assert spectrum.at_least() > L


def test_rows_that_are_all_the_same_are_a_spectrum_of_zeros() -> None:
    spectrum = Spectrum.of(sketched(torch.full((50, 8), 7.0), columns=4))
    numbers = spectrum.statistics()
    assert numbers["intrinsic_dimension"] == numbers["saturation"] == spectrum.at_least() == 0
    assert numbers["idle_features"] == 1
    assert spectrum.captured == 1


def test_no_rows_give_nan_everywhere() -> None:
    spectrum = Spectrum.of(Sketch.zeros(8, columns=4), with_rankme=True)
    assert all(math.isnan(value) for value in spectrum.statistics().values())
    assert math.isnan(spectrum.at_least())


@pytest.mark.parametrize("n", [1, 2, 5, 70])
def test_few_rows_leave_few_directions(n: int) -> None:
    rows = rows_with(SPECTRA["power 0.7"], n)
    values = Spectrum.of(sketched(rows)).eigenvalues
    assert int((values > 0).sum()) == min(n - 1, L)
    np.testing.assert_allclose(
        values.sum() if n < L else 0, reference.eigenvalues(rows).sum() if n < L else 0, rtol=1e-6
    )


def test_coarse_rows_are_told_of_a_sketch_too() -> None:
    rows = rows_with(RANKS[:30] ** -1.0, mean=10.0).bfloat16()
    spectrum = Spectrum.of(sketched(rows), resolution=torch.finfo(torch.bfloat16).eps)
    assert spectrum.status == "coarse"


@pytest.mark.parametrize(
    ("norm", "least", "dimension"), [(0.0, 2, 2), (0.5, 2, 2), (2.0, 1, math.nan)]
)
def test_the_bounds_of_a_remainder(norm: float, least: int, dimension: float) -> None:
    remainder = Remainder(width=5, total=10.0, norm=norm)
    leading = torch.tensor([6.0, 2.5, 0.5], dtype=torch.float64)
    assert remainder.at_least(leading, threshold=0.7) == least
    found = remainder.intrinsic_dimension(leading, threshold=0.7)
    assert found == dimension or math.isnan(found) == math.isnan(dimension)
    assert remainder.captured(leading) == 0.9


def test_a_threshold_outside_its_rule_is_refused() -> None:
    with pytest.raises(fathom.ArgumentError, match=r"threshold must be in \(0, 1\], got 1.2"):
        Remainder(width=5, total=10.0, norm=0.0).at_least(torch.ones(2), threshold=1.2)
