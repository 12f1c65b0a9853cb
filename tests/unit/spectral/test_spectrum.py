import math

import numpy as np
import pytest
import torch

import fathom
import reference
from fathom import Moments, Spectrum
from fathom.spectral.spectrum import rounded, second_moment_rankme
from fathom.spectral.table import STATISTICS


def rows_of(n: int, d: int, *, mean: float = 0.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.arange(1, d + 1, dtype=torch.float64) ** -0.8
    return torch.randn(n, d, dtype=torch.float64, generator=generator) * spread + mean


def spectrum_of(rows: torch.Tensor, *, with_rankme: bool = False) -> Spectrum:
    return Spectrum.of(Moments.zeros(rows.shape[1]).update(rows), with_rankme=with_rankme)


@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_eigenvalues_against_the_reference(mean: float) -> None:
    rows = rows_of(500, 20, mean=mean)
    spectrum = spectrum_of(rows)
    np.testing.assert_allclose(
        spectrum.eigenvalues.numpy(), reference.eigenvalues(rows.numpy()), rtol=2e-7
    )
    assert spectrum.eigenvalues.dtype == torch.float64
    assert spectrum.rows == 500
    assert spectrum.width == 20


@pytest.mark.parametrize("n", [1, 2, 5, 15, 16, 17, 300])
@pytest.mark.parametrize("mean", [0.0, 50.0])
def test_eigenvalues_are_descending_and_at_most_one_fewer_than_rows(n: int, mean: float) -> None:
    for dtype in (torch.float32, torch.float64):
        values = spectrum_of(rows_of(n, 16, mean=mean).to(dtype)).eigenvalues
        assert (values >= 0).all()
        assert (values[:-1] >= values[1:]).all()
        assert int((values > 0).sum()) == min(n - 1, 16)


def test_directions_without_variance_have_eigenvalue_zero() -> None:
    rows = rows_of(400, 4, mean=3.0) @ torch.randn(4, 32, dtype=torch.float64)
    values = spectrum_of(rows).eigenvalues
    assert int((values > 0).sum()) == 4
    assert fathom.log_determinant(values) == -math.inf


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 0.3, 1.0, 1e30, 1e200])
def test_rounding_twice_changes_nothing(scale: float) -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(5000, dtype=torch.float64, generator=generator) ** 9 * scale
    values = values.sort(descending=True).values
    once = rounded(values)
    assert torch.equal(rounded(once), once)
    assert not torch.equal(once, values)
    np.testing.assert_allclose(once.numpy(), values.numpy(), rtol=6e-8, atol=scale * 1e-44)
    assert (once[:-1] >= once[1:]).all()
    assert once[0] == values[0]


def test_ratios_are_those_that_float32_holds() -> None:
    values = spectrum_of(rows_of(100, 8)).eigenvalues
    ratios = values / values[0]
    assert torch.equal(ratios.float().double() * values[0], values)
    assert torch.equal(rounded(values), values)


def test_rounding_zeros_gives_zeros() -> None:
    assert rounded(torch.zeros(4, dtype=torch.float64)).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (0, "provisional"),
        (99, "provisional"),
        (100, "settling"),
        (199, "settling"),
        (200, "settled"),
        (10_000, "settled"),
    ],
)
def test_status_follows_rows_per_width(rows: int, status: str) -> None:
    spectrum = Spectrum(torch.ones(10, dtype=torch.float64), rows)
    assert spectrum.rows_per_width == rows / 10
    assert spectrum.status == status


@pytest.mark.parametrize("with_rankme", [False, True])
def test_no_rows_give_nan_everywhere(with_rankme: bool) -> None:
    spectrum = Spectrum.of(Moments.zeros(4), with_rankme=with_rankme)
    assert spectrum.rows == 0
    assert spectrum.eigenvalues.tolist() == [0.0] * 4
    statistics = spectrum.statistics()
    assert set(statistics) == set(STATISTICS) - (set() if with_rankme else {"rankme"})
    assert all(math.isnan(value) for value in statistics.values())


def test_rows_that_are_all_the_same_are_a_spectrum_of_zeros_not_of_nan() -> None:
    statistics = spectrum_of(torch.full((50, 3), 7.0)).statistics()
    assert statistics["intrinsic_dimension"] == 0
    assert statistics["saturation"] == 0
    assert statistics["idle_features"] == 1.0


def test_statistics_are_the_functions_of_its_eigenvalues() -> None:
    spectrum = spectrum_of(rows_of(200, 12))
    statistics = spectrum.statistics()
    for name in set(statistics) - {"idle_features"}:
        assert statistics[name] == getattr(fathom, name)(spectrum.eigenvalues)
    k = spectrum.statistics(0.5)["intrinsic_dimension"]
    assert k == fathom.intrinsic_dimension(spectrum.eigenvalues, threshold=0.5)
    assert k < statistics["intrinsic_dimension"]


def test_a_spectrum_is_an_array_of_its_eigenvalues() -> None:
    spectrum = spectrum_of(rows_of(200, 12))
    array = np.asarray(spectrum)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, spectrum.eigenvalues.numpy())
    assert np.asarray(spectrum, dtype=np.float32).dtype == np.float32
    array[:] = 0
    assert spectrum.eigenvalues[0] > 0
    assert fathom.saturation(spectrum) == fathom.saturation(spectrum.eigenvalues)
    assert fathom.effective_rank(spectrum) == fathom.effective_rank(spectrum.eigenvalues)


@pytest.mark.parametrize("mean", [0.0, 0.5, 20.0])
def test_rankme_is_measured_from_the_rows_with_their_mean(mean: float) -> None:
    rows = rows_of(300, 10, mean=mean)
    spectrum = spectrum_of(rows, with_rankme=True)
    expected = reference.rankme(rows.numpy())
    assert spectrum.statistics()["rankme"] == pytest.approx(expected, rel=1e-6)


def test_rankme_is_there_only_where_it_was_asked_for() -> None:
    spectrum = spectrum_of(rows_of(300, 10))
    assert set(spectrum.measured) == {"idle_features"}
    assert "rankme" not in spectrum.statistics()
    with pytest.raises(KeyError, match=r"must be one of .*got 'rankme'"):
        spectrum.statistics()["rankme"]


def test_rankme_of_one_row_and_of_zeros() -> None:
    one = torch.zeros(3, 3, dtype=torch.float64)
    mean = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    assert second_moment_rankme(one, mean, rows=1) == pytest.approx(1.0, rel=1e-12)
    assert second_moment_rankme(one, torch.zeros_like(mean), rows=1) == 0.0


def test_idle_features_are_measured_from_the_diagonal() -> None:
    rows = rows_of(100, 8).float()
    rows[:, 2] = 0.0
    rows[:, 5] = 1000.1
    assert spectrum_of(rows).statistics()["idle_features"] == 0.25
