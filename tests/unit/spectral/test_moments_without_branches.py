"""The update that never looks at a number, as GPUs need it, gives what the other gives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import reference
from fathom import Moments, ShapeError
from fathom.spectral import moments

Update = Callable[[Moments, Tensor, Tensor | None], Moments]


@pytest.fixture(params=["with branches", "without branches"])
def update(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Update:
    if request.param == "without branches":
        monkeypatch.setattr(moments, "_may_branch", lambda device: False)
    return lambda into, rows, keep: into.update(rows, keep=keep)


def rows_like(count: int, dtype: torch.dtype = torch.float32, *, mean: float = 100.0) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    mixing = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    rows = torch.randn(count, 8, generator=generator, dtype=torch.float64) @ mixing + mean
    return rows.to(dtype)


def assert_moments(came: Moments, rows: Tensor, *, dropped: int = 0, within: float = 1e-5) -> None:
    assert int(came.count) == len(rows)
    assert int(came.dropped) == dropped
    expected = torch.from_numpy(reference.covariance(rows.double().numpy()))
    assert (came.covariance() - expected).abs().max() <= within * expected.abs().max()
    # Many float32 rows are added up in float32, about a mean near theirs.
    exact = 1e-12 if rows.dtype == torch.float64 or rows.numel() <= 2**12 else 1e-9
    torch.testing.assert_close(came.mean, rows.double().mean(0), rtol=exact, atol=exact)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_batches_of_any_length(update: Update, dtype: torch.dtype, within: float) -> None:
    rows = rows_like(40_000, dtype)
    came = Moments.zeros(8)
    for batch in rows.split([1, 0, 999, 39_000]):
        update(came, batch, None)
    assert_moments(came, rows, within=within)


def test_rows_with_nan_or_infinity_are_dropped(update: Update) -> None:
    rows = rows_like(500)
    broken = rows.clone()
    broken[3, 2], broken[7, 0], broken[7, 1] = torch.nan, torch.inf, -torch.inf
    whole = broken.isfinite().all(1)
    assert_moments(update(Moments.zeros(8), broken, None), rows[whole], dropped=2)


def test_rows_that_do_not_count_are_neither_counted_nor_dropped(update: Update) -> None:
    rows = rows_like(500)
    keep = torch.arange(500) % 3 != 0
    broken = rows.clone()
    broken[0] = torch.nan  # does not count
    broken[1, 5] = torch.nan  # would count
    kept = keep.clone()
    kept[1] = False
    assert_moments(update(Moments.zeros(8), broken, keep), rows[kept], dropped=1)


def test_no_row_at_all_changes_nothing(update: Update) -> None:
    came = update(Moments.zeros(8), rows_like(100), None)
    before = came.covariance()
    update(came, rows_like(50), torch.zeros(50, dtype=torch.bool))
    update(came, torch.full((5, 8), torch.nan), None)
    assert int(came.count) == 100
    assert torch.equal(came.covariance(), before)
    empty = update(Moments.zeros(8), torch.full((5, 8), torch.nan), None)
    assert (int(empty.count), int(empty.dropped)) == (0, 5)
    assert empty.covariance().eq(0).all()


@pytest.mark.parametrize(
    ("keep", "came"),
    [(torch.ones(4, dtype=torch.bool), r"\(4,\)"), (torch.ones(5), "torch.float32")],
)
def test_a_keep_of_another_shape_or_type_is_refused(keep: Tensor, came: str) -> None:
    with pytest.raises(ShapeError, match=rf"keep must be bool of shape \(5,\), got .*{came}"):
        Moments.zeros(8).update(torch.zeros(5, 8), keep=keep)
