"""The unbiased HSIC of a batch, against its sums written out."""

import numpy as np
import pytest
import torch

from alike import hsic
from fathom.errors import ShapeError
from fathom.spectral.hsic import centred_pairs, linear_gram


def unbiased(x: torch.Tensor, y: torch.Tensor) -> float:
    n = len(x)
    return float(2 * centred_pairs(linear_gram(x)) @ centred_pairs(linear_gram(y)) / (n * (n - 3)))


@pytest.mark.parametrize("n", [4, 5, 32])
@pytest.mark.parametrize(("f", "g"), [(1, 1), (3, 70), (100, 2)])
def test_it_is_the_estimate_of_the_paper(n: int, f: int, g: int) -> None:
    torch.manual_seed(n)
    x, y = torch.randn(n, f).double(), torch.randn(n, g).double()
    y[:, 0] += x[:, 0]
    assert unbiased(x, y) == pytest.approx(hsic(x, y), rel=1e-10, abs=1e-12)


def test_its_mean_over_independent_draws_is_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = np.array(
        [
            unbiased(
                torch.randn(6, 4, generator=generator).double(),
                torch.randn(6, 5, generator=generator).double(),
            )
            for _ in range(3000)
        ]
    )
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean()) < 4 * error
    # The biased estimate of so few samples is far away from that.
    x, y = torch.randn(6, 4, generator=generator), torch.randn(6, 5, generator=generator)
    biased = float((linear_gram(x) * linear_gram(y)).sum()) / 25
    assert biased > 20 * error


@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_features_far_from_zero_lose_nothing(offset: float) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(20, 8).double(), torch.randn(20, 8).double()
    x, y = ((each + offset).float() for each in (x, y + x))
    exact = hsic(x.double() - offset, y.double() - offset)
    assert unbiased(x, y) == pytest.approx(exact, rel=1e-5)


def test_huge_features_do_not_overflow() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3)
    assert linear_gram(x * 1e25).isfinite().all()
    assert not linear_gram(torch.where(x > 1, torch.nan, x)).isfinite().all()


def test_three_samples_are_too_few() -> None:
    with pytest.raises(ShapeError, match="at least 4 samples, got 3"):
        centred_pairs(torch.eye(3, dtype=torch.float64))
