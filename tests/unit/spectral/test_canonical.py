"""Canonical correlations from streamed covariances, against QR and SVD of all rows."""

import pytest
import torch
from torch import Tensor

from alike import pwcca, svcca
from fathom.spectral.canonical import (
    Leading,
    canonical_correlations,
    leading,
    mean_correlation,
    projection_weighted,
)
from fathom.spectral.cross import CrossScatter

CPU = torch.device("cpu")


def found(a: Tensor, b: Tensor, threshold: float = 1.0) -> tuple[float, float]:
    """SVCCA and PWCCA, from sums over uneven batches."""
    sums = {
        name: CrossScatter(left.shape[1], right.shape[1], device=CPU)
        for name, (left, right) in {"aa": (a, a), "bb": (b, b), "ab": (a, b)}.items()
    }
    for rows in torch.arange(len(a)).split(37):
        sums["aa"].update(a[rows], a[rows])
        sums["bb"].update(b[rows], b[rows])
        sums["ab"].update(a[rows], b[rows])
    of = [
        leading(each.scatter / each.count, each.mean_a, threshold=threshold)
        for each in (sums["aa"], sums["bb"])
    ]
    correlations = canonical_correlations(sums["ab"].scatter / sums["ab"].count, *of)
    return mean_correlation(correlations), projection_weighted(correlations, *of)


def correlated(rows: int, da: int, db: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(da * db)
    shared = torch.randn(rows, 3, generator=generator).double()
    a, b = (
        shared @ torch.randn(3, d, generator=generator).double()
        + torch.randn(rows, d, generator=generator).double() * torch.linspace(0.1, 2, d)
        + 100
        for d in (da, db)
    )
    return a, b


@pytest.mark.parametrize(("da", "db"), [(5, 5), (4, 9), (9, 4), (1, 6)])
@pytest.mark.parametrize("threshold", [0.8, 0.99, 1.0])
def test_svcca_is_that_of_the_rows(da: int, db: int, threshold: float) -> None:
    a, b = correlated(200, da, db)
    expected = svcca(a, b, threshold if threshold < 1 else 1 - 1e-15)
    assert found(a, b, threshold)[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("da", "db"), [(5, 5), (4, 9), (9, 4), (1, 6)])
def test_pwcca_is_that_of_the_rows(da: int, db: int) -> None:
    a, b = correlated(200, da, db)
    assert found(a, b)[1] == pytest.approx(pwcca(a, b), abs=1e-9)


def test_any_invertible_map_leaves_them_at_one() -> None:
    a, _ = correlated(200, 6, 1)
    torch.manual_seed(0)
    b = a @ torch.randn(6, 6).double() - 3
    assert found(a, b) == pytest.approx((1.0, 1.0), abs=1e-9)
    rotation = torch.linalg.qr(torch.randn(6, 6).double())[0]
    assert found(a, 7 * a @ rotation, 0.9)[0] == pytest.approx(1.0, abs=1e-9)


def test_the_rounding_of_float32_is_no_direction() -> None:
    torch.manual_seed(0)
    rows = (torch.randn(500, 9) @ torch.randn(9, 32) + 5).double()
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / 500
    eps = torch.finfo(torch.float32).eps
    assert leading(covariance, rows.mean(0), resolution=eps).dimension == 9
    assert leading(covariance, rows.mean(0), threshold=0.5, resolution=eps).dimension < 9


def test_what_does_not_vary_has_no_direction() -> None:
    nothing = leading(torch.zeros(3, 3).double(), torch.ones(3).double())
    assert isinstance(nothing, Leading)
    assert nothing.dimension == 0


def test_empty_batches_add_nothing() -> None:
    sums = CrossScatter(2, 3, device=CPU)
    sums.update(torch.zeros(0, 2).double(), torch.zeros(0, 3).double())
    assert sums.count == 0
    assert not sums.scatter.any()
