"""Eigendirections and projections beside NumPy's, and what random ones have to be."""

import numpy as np
import pytest
import torch

import reference
from fathom.spectral.directions import Basis, Directions
from fathom.spectral.moments import Moments


def rows_of(count: int, width: int, *, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scales = 0.7 ** torch.arange(width)
    mixed = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) * scales @ mixed + offset


@pytest.mark.parametrize("dimension", [0, 1, 3, 4, 5, 8])
def test_rows_are_projected_as_the_formula_says(dimension: int) -> None:
    rows = rows_of(300, 8, offset=3)
    basis = Basis.of(Directions.of(Moments.zeros(8).update(rows)), dimension)
    assert basis.vectors.shape[1] <= 4
    others = rows_of(50, 8, seed=1)
    expected = reference.projected(
        others, reference.leading_directions(rows, dimension), rows.double().numpy().mean(0)
    )
    found = basis.to(torch.device("cpu"), torch.float64).project(others.double())
    np.testing.assert_allclose(found, expected, atol=1e-4)
    maps = others.double().reshape(5, 10, 8).mT.contiguous()
    by_maps = basis.to(torch.device("cpu"), torch.float64).project_maps(maps)
    assert torch.allclose(by_maps.mT.reshape(50, 8), found, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_a_mean_far_above_the_spread_costs_no_digits(offset: float) -> None:
    rows = rows_of(300, 8, offset=offset)
    directions = Directions.of(Moments.zeros(8).update(rows))
    basis = Basis.of(directions, 3).to(torch.device("cpu"), torch.float32)
    expected = reference.projected(
        rows, reference.leading_directions(rows, 3), rows.double().numpy().mean(0)
    )
    error = np.abs(basis.project(rows).double().numpy() - expected).max()
    assert error < 1e-6 * max(offset, 10)


@pytest.mark.parametrize(("eigenvalues", "threshold", "dimension"), reference.DECIDING_CASES)
def test_the_dimension_is_the_intrinsic_dimension(
    eigenvalues: list[float], threshold: float, dimension: int
) -> None:
    width = len(eigenvalues)
    covariance = torch.diag(torch.tensor(eigenvalues, dtype=torch.float64))
    directions = Directions.of_covariance(covariance, torch.zeros(width))
    assert directions.dimension(threshold) == dimension
    np.testing.assert_allclose(directions.eigenvalues, eigenvalues, rtol=1e-7)


def test_few_rows_have_no_more_directions_than_they_span() -> None:
    directions = Directions.of(Moments.zeros(8).update(rows_of(4, 8)))
    assert directions.dimension(1.0) == 3
    assert directions.share(3) == 1


def test_a_direction_has_its_largest_component_above_zero() -> None:
    vectors = Directions.of(Moments.zeros(8).update(rows_of(100, 8))).vectors
    assert (vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) > 0).all()


def test_random_directions_are_orthonormal_seeded_and_touch_no_global_state() -> None:
    directions = Directions.of(Moments.zeros(8).update(rows_of(100, 8)))
    state = torch.get_rng_state()
    random = directions.randomised(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.allclose(random.vectors.T @ random.vectors, torch.eye(8, dtype=torch.float64))
    assert torch.equal(random.vectors, directions.randomised(3).vectors)
    assert not torch.allclose(random.vectors, directions.randomised(4).vectors)
    assert random.dimension(0.9) == directions.dimension(0.9)


def test_random_subspaces_keep_as_much_of_any_row_on_average() -> None:
    directions = Directions.of(Moments.zeros(8).update(rows_of(100, 8)))
    row = torch.eye(8, dtype=torch.float64)[:1]
    kept = [
        float((row @ directions.randomised(seed).vectors[:, :2]).square().sum())
        for seed in range(400)
    ]
    # Beta(1, 3): mean 2 / 8, standard deviation 0.19, of 400 draws 0.01.
    assert abs(np.mean(kept) - 0.25) < 0.04
