from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import fathom
import reference
from fathom import Moments, Spectrum
from fathom.errors import ShapeError

BLOCK = 2**14


def correlated(n: int, d: int, *, ratio: float = 0.0, seed: int = 0) -> Tensor:
    """Float64 rows of a decaying spectrum, each feature of spread about 1 and of mean `ratio`."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(d, d, dtype=torch.float64, generator=generator)
    basis *= torch.arange(1, d + 1, dtype=torch.float64)[:, None] ** -0.7
    rows = torch.randn(n, d, dtype=torch.float64, generator=generator) @ basis
    return rows / rows.std(0) + ratio


def error(moments: Moments, rows: Tensor) -> float:
    """The largest error of the covariance, against the largest entry of the reference."""
    expected = reference.covariance(rows.detach().double().numpy())
    return float(np.abs(moments.covariance().numpy() - expected).max() / np.abs(expected).max())


def of(rows: Tensor) -> Moments:
    return Moments.zeros(rows.shape[1]).update(rows)


def assert_same(actual: Moments, expected: Moments, *, rel: float = 1e-12) -> None:
    assert int(actual.count) == int(expected.count)
    assert int(actual.dropped) == int(expected.dropped)
    for one, other in ((actual.mean, expected.mean), (actual.scatter, expected.scatter)):
        assert (one - other).abs().max() <= rel * other.abs().max()


@pytest.mark.parametrize("ratio", [0, 10, 100, 1e3])
def test_float32_rows_against_the_reference(ratio: float) -> None:
    rows = correlated(3000, 64, ratio=ratio).float()
    assert error(of(rows), rows) < 1e-5
    batches = Moments.zeros(64)
    for batch in rows.split(32):
        batches.update(batch)
    assert error(batches, rows) < 1e-5


@pytest.mark.parametrize("ratio", [0, 10, 100, 1e3])
def test_float64_rows_against_the_reference(ratio: float) -> None:
    rows = correlated(3000, 64, ratio=ratio)
    assert error(of(rows), rows) < 1e-12
    np.testing.assert_allclose(of(rows).mean.numpy(), rows.mean(0).numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("ratio", [10, 100, 1e3])
@pytest.mark.parametrize("batch", [100, 20_000])
def test_intrinsic_dimension_survives_large_means(ratio: float, batch: int) -> None:
    # Sums of squares in float32 find 28 at 1e3.
    rows = correlated(20_000, 64, ratio=ratio).float()
    truth = reference.eigenvalues(rows.numpy())
    assert reference.margin_at_cut(truth) > 1e-4
    moments = Moments.zeros(64)
    for part in rows.split(batch):
        moments.update(part)
    spectrum = fathom.Spectrum.of(moments)
    assert fathom.intrinsic_dimension(spectrum) == reference.intrinsic_dimension(truth)


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(Tensor.bfloat16, id="bfloat16"),
        pytest.param(Tensor.half, id="float16"),
        pytest.param(lambda rows: (100 * rows).to(torch.int64), id="int64"),
        pytest.param(lambda rows: (20 * rows).clamp(0, 255).to(torch.uint8), id="uint8"),
        pytest.param(lambda rows: rows > 0, id="bool"),
        pytest.param(lambda rows: rows.float().t().contiguous().t(), id="column-major"),
        pytest.param(lambda rows: rows.float()[::3], id="strided"),
        pytest.param(lambda rows: rows.float()[:1].expand(7, -1), id="expanded"),
        pytest.param(lambda rows: rows.float().requires_grad_(), id="leaf with grad"),
        pytest.param(lambda rows: rows.float().requires_grad_() * 2, id="with grad"),
    ],
)
def test_rows_of_any_type_and_strides(convert: Callable[[Tensor], Tensor]) -> None:
    rows = convert(correlated(500, 9, ratio=3))
    before = rows.detach().clone()
    moments = of(rows)
    assert int(moments.count) == len(rows)
    if len(rows.unique(dim=0)) > 1:
        assert error(moments, rows) < 1e-5
    else:
        assert not moments.scatter.any()
    assert not moments.scatter.requires_grad
    assert torch.equal(rows, before)


def test_integers_are_exact() -> None:
    rows = torch.tensor([[2**40], [2**40 + 2]])
    assert of(rows).covariance().tolist() == [[1.0]]
    assert of(rows).mean.tolist() == [2**40 + 1]


def test_no_rows_leave_everything_at_zero() -> None:
    moments = Moments.zeros(3).update(torch.empty(0, 3))
    assert moments.covariance().tolist() == [[0.0] * 3] * 3
    assert moments.mean.tolist() == [0.0] * 3
    assert (int(moments.count), int(moments.dropped)) == (0, 0)
    rows = correlated(40, 3)
    assert_same(of(rows).update(torch.empty(0, 3)), of(rows), rel=0)


def test_one_row_has_a_mean_and_no_scatter() -> None:
    moments = of(torch.tensor([[1.0, -2.0, 1e3]]))
    assert moments.mean.tolist() == [1.0, -2.0, 1e3]
    assert moments.covariance().tolist() == [[0.0] * 3] * 3
    assert int(moments.count) == 1


@pytest.mark.parametrize("n", [BLOCK - 1, BLOCK, BLOCK + 1, 50_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_rows_than_a_block(n: int, dtype: torch.dtype) -> None:
    rows = correlated(n, 5, ratio=2).to(dtype)
    moments = of(rows)
    assert int(moments.count) == n
    assert error(moments, rows) < (1e-12 if dtype == torch.float64 else 1e-5)


def test_a_wide_layer_takes_shorter_blocks() -> None:
    rows = correlated(40, 4, ratio=1).float().repeat(225, 500)
    assert len(rows) > 2**24 // rows.shape[1]
    moments = of(rows)
    assert int(moments.count) == 9000
    expected = reference.covariance(rows[:, :4].numpy())
    np.testing.assert_allclose(moments.covariance()[:4, -4:].numpy(), expected, atol=1e-5)


def test_counts_are_int64() -> None:
    moments = of(correlated(5, 2).float())
    assert moments.count.dtype == moments.dropped.dtype == torch.int64
    moments.count.fill_(2**33)
    moments.update(torch.ones(3, 2))
    assert int(moments.count) == 2**33 + 3


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_with_nan_or_inf_are_dropped_and_counted(bad: float, dtype: torch.dtype) -> None:
    rows = correlated(200, 6, ratio=2).to(dtype)
    good = rows.clone()
    rows[::50, 1] = bad
    rows[7] = bad
    kept = torch.ones(200, dtype=torch.bool)
    kept[::50] = kept[7] = False
    moments = of(rows)
    assert int(moments.dropped) == 5
    assert int(moments.count) == 195
    assert error(moments, good[kept]) < 1e-5
    moments.update(torch.full((3, 6), bad, dtype=dtype))
    assert int(moments.dropped) == 8
    assert error(moments, good[kept]) < 1e-5


def test_inf_and_minus_inf_in_a_column_are_dropped() -> None:
    moments = of(torch.tensor([[torch.inf, 1.0], [-torch.inf, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    assert int(moments.dropped) == 2
    assert moments.covariance().tolist() == [[1.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("scale", [1e30, 1e-30, 3e37, 1e-38, 1e18, 1e-12])
@pytest.mark.parametrize("ratio", [0, 5])
def test_huge_and_tiny_values(scale: float, ratio: float) -> None:
    rows = (correlated(400, 5, ratio=ratio).clamp(-9, 9) * scale).float()
    assert torch.isfinite(rows).all()
    moments = of(rows)
    assert error(moments, rows) < 1e-5
    assert int(moments.dropped) == 0


def test_finite_rows_whose_sum_overflows_are_kept() -> None:
    largest = torch.finfo(torch.float32).max
    rows = torch.tensor([[largest], [largest], [-largest]])
    moments = of(rows)
    assert (int(moments.count), int(moments.dropped)) == (3, 0)
    assert error(moments, rows) < 1e-6
    assert float(moments.mean) == pytest.approx(largest / 3, rel=1e-6)


def test_huge_rows_beside_ordinary_ones() -> None:
    rows = correlated(300, 4).float()
    rows[:, 2] *= 1e30
    assert error(of(rows), rows) < 1e-5
    np.testing.assert_allclose(
        of(rows).covariance()[:2, :2].numpy(),
        reference.covariance(rows[:, :2].numpy()),
        rtol=1e-5,
        atol=1e-6,
    )


def test_inference_mode_first_and_training_later() -> None:
    rows = correlated(90, 4).float()
    with torch.inference_mode():
        moments = Moments.zeros(4)
        made_inside = rows[:30] * 1
        moments.update(made_inside)
    moments.update(rows[30:60].requires_grad_())
    with torch.inference_mode():
        moments.update(rows[60:])
    assert_same(moments, of(rows), rel=1e-6)
    moments.merge(of(made_inside))
    assert int(moments.count) == 120


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.zeros(4, 2), r"\(n, 3\), got torch\.float32 of shape \(4, 2\)"),
        (torch.zeros(3), r"\(n, 3\), got torch\.float32 of shape \(3,\)"),
        (torch.zeros(2, 3, 4), r"\(n, 3\), got torch\.float32 of shape \(2, 3, 4\)"),
        (
            torch.zeros(4, 3, dtype=torch.complex64),
            r"real .*got torch\.complex64 of shape \(4, 3\)",
        ),
    ],
)
def test_rows_of_another_shape_are_refused(rows: Tensor, message: str) -> None:
    moments = Moments.zeros(3)
    with pytest.raises(ShapeError, match=rf"^Moments\.update: rows must be .*{message}") as caught:
        moments.update(rows)
    assert isinstance(caught.value, ValueError)
    assert int(moments.count) == 0


@pytest.mark.parametrize("width", [0, -3])
def test_a_width_below_one_is_refused(width: int) -> None:
    with pytest.raises(ShapeError, match=rf"width must be at least 1, got {width}\."):
        Moments.zeros(width)


@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 200), (200, 1), (3, 700)])
def test_merge_is_one_pass_over_both(sizes: tuple[int, int]) -> None:
    rows = correlated(1000, 6, ratio=100)[: sum(sizes)]
    first, second = rows.split(list(sizes))
    other = of(second)
    kept = of(second)
    merged = of(first)
    assert merged.merge(other) is merged
    assert_same(merged, of(rows))
    assert_same(other, kept, rel=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_default_type_of_torch_has_no_part_in_it(dtype: torch.dtype) -> None:
    rows = correlated(700, 6, ratio=10)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        moments = of(rows[:300])
        for batch in rows[300:500].split(17):
            moments.update(batch)
        moments.merge(of(rows[500:]))
    finally:
        torch.set_default_dtype(before)
    assert error(moments, rows) < 1e-12


def test_many_small_float64_batches_agree_with_one_pass() -> None:
    rows = correlated(2000, 6, ratio=100)
    batches = Moments.zeros(6)
    for batch in rows.split(7):
        batches.update(batch)
    assert error(batches, rows) < 1e-12
    assert_same(batches, of(rows))


def test_merge_adds_what_was_dropped() -> None:
    bad = torch.full((2, 3), torch.nan)
    assert int(of(bad).merge(of(bad[:1])).dropped) == 3


def test_merge_refuses_another_width() -> None:
    with pytest.raises(ShapeError, match=r"Moments\.merge: other must have width 3, got 4\."):
        Moments.zeros(3).merge(Moments.zeros(4))


def test_update_returns_itself_and_batches_add_up() -> None:
    rows = correlated(100, 4)
    moments = Moments.zeros(4)
    assert moments.update(rows[:50]) is moments
    assert_same(moments.update(rows[50:]), of(rows))
    assert moments.width == 4


LAYOUTS = {
    "rows": lambda maps: maps.movedim(1, -1).contiguous(),
    "maps": lambda maps: maps.movedim(1, -1),
    "every other position": lambda maps: maps.movedim(1, -1)[:, ::2],
    "transposed": lambda maps: maps.movedim(1, -1).transpose(0, 1),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("size", [(3, 5, 7), (40, 20, 20), (2, 150, 150), (0, 4, 4)], ids=str)
@pytest.mark.parametrize("width", [9, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_positions_of_maps_count_like_rows(
    layout: Callable[[Tensor], Tensor], size: tuple[int, ...], width: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(size[0], width, *size[1:], generator=generator, dtype=torch.float64)
    maps = layout((maps + torch.arange(width)[:, None, None]).to(dtype))
    flat = maps.reshape(-1, width)
    moments = Moments.zeros(width)
    for part in (maps[: size[0] // 2], maps[size[0] // 2 :]) if len(maps) > 1 else (maps,):
        moments.update(part)
    assert int(moments.count) == len(flat)
    assert torch.equal(moments.covariance(), moments.covariance().T)
    if len(flat):
        assert error(moments, flat) < (1e-12 if dtype == torch.float64 else 1e-5)


def test_rows_whose_mean_moves_far_between_batches_keep_their_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    moments, batches = Moments.zeros(5), []
    for step in range(4):
        rows = torch.randn(300, 5, generator=generator) * 0.01
        batches.append(rows + 1000 * step * torch.tensor([1.0, 0, -1, 0, 1]))
        moments.update(batches[-1])
        alone = Moments.zeros(5).update(batches[-1])
        assert error(alone, batches[-1]) < 1e-5
    assert error(moments, torch.cat(batches)) < 1e-6
    # The features that stay in place keep their own digits beside those that move.
    still = torch.cat(batches)[:, [1, 3]]
    found = moments.covariance()[[1, 3]][:, [1, 3]]
    expected = torch.from_numpy(reference.covariance(still.double().numpy()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_a_row_of_weight_counts_as_often_and_is_one_row() -> None:
    generator = torch.Generator().manual_seed(0)
    light, heavy = (torch.randn(n, 90, generator=generator) for n in (30, 20))
    moments = of(light).update(heavy, weight=3)
    repeated = of(torch.cat([light, heavy, heavy, heavy]))
    torch.testing.assert_close(moments.covariance(), repeated.covariance(), rtol=0, atol=1e-6)
    assert (int(moments.count), int(moments.read), moments.heaviest) == (90, 50, 3)
    assert moments.rows == 30
    # 50 rows leave 49 directions, whatever their weights.
    assert int((Spectrum.of(moments).eigenvalues > 0).sum()) == 49
    again = Moments.zeros(90).merge(moments)
    assert (int(again.read), again.heaviest) == (50, 3)


def test_rows_that_do_not_count_have_no_weight() -> None:
    moments = Moments.zeros(3)
    moments.update(torch.empty(0, 3), weight=64)
    moments.update(torch.full((4, 3), torch.nan), weight=64)
    moments.update(torch.ones(10, 3))
    assert (moments.heaviest, moments.rows) == (1, 10)


def test_differences_that_overflow_are_dropped() -> None:
    rows = torch.tensor([[1.7e308, 0.0], [-1.7e308, 0.0]], dtype=torch.float64)
    moments = Moments.zeros(2).update(rows)
    assert int(moments.count) + int(moments.dropped) == 2


def test_who_looks_in_the_middle_of_an_update_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(40, 8, 100, generator=generator)
    plain, seen = Moments.zeros(100), Moments.zeros(100)
    for batch in batches:
        plain.update(batch)
        seen.update(batch)
        assert seen.rows == 8 * (int(seen.rows) // 8)
    assert seen._pending is not None
    assert torch.equal(plain.scatter, seen.scatter)


@pytest.mark.parametrize("after", [1, 5, 30])
def test_a_state_goes_on_to_the_bit(after: int) -> None:
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(40, 8, 100, generator=generator) + 10
    whole, first = Moments.zeros(100), Moments.zeros(100)
    for place, batch in enumerate(batches):
        whole.update(batch, weight=1 + place // 20)
        if place < after:
            first.update(batch, weight=1 + place // 20)
    state = first.state()
    again = Moments.of_state(state)
    for place, batch in enumerate(batches[after:], after):
        again.update(batch, weight=1 + place // 20)
    assert torch.equal(again.scatter, whole.scatter)
    assert torch.equal(again.mean, whole.mean)
    assert all(
        torch.equal(each, Moments.of_state(state).state()[key]) for key, each in state.items()
    )


@pytest.mark.parametrize("rows", [8, 100, 300])
@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_few_rows_at_a_time_are_as_right_as_many(rows: int, mean: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(150, 150, generator=generator)
    everything = torch.randn(2400, 150, generator=generator) @ mixing + mean
    moments = Moments.zeros(150)
    for batch in everything.split(rows):
        moments.update(batch)
    assert error(moments, everything) < 5e-6
