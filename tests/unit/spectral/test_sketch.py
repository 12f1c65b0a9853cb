"""A sketch is the scatter of the reference times its signs, however the rows came."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import reference
from fathom import ArgumentError, ShapeError
from fathom.spectral import sketch as module
from fathom.spectral.nystrom import leading
from fathom.spectral.signs import Signs
from fathom.spectral.sketch import COLUMNS, Sketch


def rows_like(
    n: int, d: int = 40, *, mean: float = 0.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    generator = torch.Generator().manual_seed(n + d)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing
    return torch.add(rows, mean * d**0.5).to(dtype)


def of(*batches: Tensor, columns: int = 6) -> Sketch:
    sketch = Sketch.zeros(batches[0].shape[-1], columns=columns)
    for batch in batches:
        sketch.update(batch)
    return sketch


def assert_sketch(came: Sketch, rows: Tensor, *, within: float = 1e-12, dropped: int = 0) -> None:
    assert int(came.count) == len(rows)
    assert int(came.dropped) == dropped
    scatter = len(rows) * torch.from_numpy(reference.covariance(rows))
    expected = scatter @ came.signs.values.double()
    size = scatter.abs().amax() * came.columns**0.5 + 1e-300
    assert (came.products - expected).abs().max() <= within * size * 10
    torch.testing.assert_close(came.squares, scatter.diagonal(), rtol=10 * within, atol=0)
    spread = scatter.diagonal().amax().sqrt()
    assert (came.mean - rows.double().mean(0)).abs().max() <= within * (
        spread + rows.double().abs().max()
    )


@pytest.mark.parametrize("mean", [0.0, 1e3])
@pytest.mark.parametrize(
    ("dtype", "within"),
    [(torch.float64, 1e-9), (torch.float32, 1e-6), (torch.bfloat16, 1e-6), (torch.float16, 1e-6)],
)
def test_batches_of_any_type_and_mean(dtype: torch.dtype, within: float, mean: float) -> None:
    rows = rows_like(300, mean=mean if dtype != torch.float16 else mean / 100, dtype=dtype)
    assert_sketch(of(*rows.split([1, 0, 99, 200])), rows, within=within)


def test_whole_numbers_are_rows_too() -> None:
    rows = torch.randint(-5, 6, (50, 9))
    assert_sketch(of(rows), rows.double())


@pytest.mark.parametrize("steps", [10, 1000])
def test_a_mean_that_drifts(steps: float) -> None:
    rows = rows_like(400, dtype=torch.float32)
    rows += steps * rows.std() * torch.linspace(0, 1, 400)[:, None]
    assert_sketch(of(*rows.split(50)), rows, within=1e-6)


def test_rows_in_blocks_and_products_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 400)
    monkeypatch.setattr("fathom.spectral.signs._PART_ON_CPU", 64)
    rows = rows_like(123)
    assert_sketch(of(rows), rows, within=1e-11)


def test_a_row_at_every_position_of_any_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = rows_like(4 * 5 * 3).reshape(4, 5, 3, 40).permute(0, 3, 2, 1).contiguous()
    channels_last = maps.movedim(1, -1)
    keep = torch.arange(60).reshape(4, 3, 5) % 3 != 0
    for numbers in (2**24, 400):
        monkeypatch.setattr(module, "_BLOCK_NUMBERS", numbers)
        assert_sketch(of(channels_last), channels_last.reshape(-1, 40), within=1e-11)
        kept = Sketch.zeros(40, columns=6).update(channels_last, keep=keep)
        assert_sketch(kept, channels_last[keep], within=1e-11)


@pytest.fixture(params=["with branches", "without branches"])
def branches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without branches":
        monkeypatch.setattr(module, "_may_branch", lambda device: False)


@pytest.mark.usefixtures("branches")
def test_rows_that_do_not_count() -> None:
    rows = rows_like(200, dtype=torch.float32, mean=50.0)
    broken = rows.clone()
    broken[3, 2], broken[7, 0], broken[7, 1] = torch.nan, torch.inf, -torch.inf
    broken[8] = torch.nan
    keep = torch.arange(200) != 8
    came = Sketch.zeros(40, columns=6).update(broken, keep=keep)
    assert_sketch(came, rows[broken.isfinite().all(1)], within=1e-6, dropped=2)


@pytest.mark.usefixtures("branches")
def test_no_row_at_all_changes_nothing() -> None:
    came = of(rows_like(20))
    before = came.products.clone()
    came.update(torch.empty(0, 40))
    came.update(rows_like(3), keep=torch.zeros(3, dtype=torch.bool))
    came.update(torch.full((2, 40), torch.nan))
    assert (int(came.count), int(came.dropped)) == (20, 2)
    assert torch.equal(came.products, before)


def test_rows_that_are_all_the_same_have_no_scatter() -> None:
    came = of(torch.full((50, 7), 7.1))
    assert not came.products.any()
    assert not came.squares.any()


@pytest.mark.usefixtures("branches")
@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18])
def test_products_neither_under_nor_overflow(scale: float) -> None:
    rows = (rows_like(100) * scale).float()
    assert_sketch(of(*rows.split(30)), rows, within=1e-6)


@pytest.mark.parametrize("parts", [[10, 90], [1, 0, 99], [0, 100]])
def test_sketches_merge_to_that_of_one_pass(parts: list[int]) -> None:
    rows = rows_like(100, mean=100.0)
    merged = Sketch.zeros(40, columns=6)
    for batch in rows.split(parts):
        other = of(batch)
        before = other.products.clone()
        merged.merge(other)
        assert torch.equal(other.products, before)
    assert_sketch(merged, rows, within=1e-9)


def test_sketches_about_one_point_add_up() -> None:
    rows = rows_like(100, mean=10.0)
    mean = rows.mean(0)
    parts = [of(batch).centre(mean) for batch in rows.split([30, 70])]
    whole = of(rows)
    torch.testing.assert_close(parts[0].products + parts[1].products, whole.products)
    torch.testing.assert_close(parts[0].squares + parts[1].squares, whole.squares)


def test_it_can_be_updated_after_inference_mode() -> None:
    with torch.inference_mode():
        came = of(rows_like(10))
    came.update(rows_like(20))
    assert int(came.count) == 30


def test_it_takes_8_bytes_a_feature_and_column_and_shares_its_signs() -> None:
    first, second = Sketch.zeros(5000), Sketch.zeros(5000)
    own = (first.count, first.mean, first.products, first.squares, first.dropped)
    assert sum(each.nbytes for each in own) <= 8 * 5000 * (COLUMNS + 3)
    assert first.signs is second.signs
    assert first.signs.values.nbytes == 5000 * COLUMNS


@pytest.mark.parametrize("autocast", [torch.bfloat16, torch.float16])
def test_autocast_does_not_cut_the_products(autocast: torch.dtype) -> None:
    rows = rows_like(100, dtype=torch.float32)
    with torch.autocast("cpu", dtype=autocast):
        came = of(rows)
    assert_sketch(came, rows, within=1e-6)


def test_what_is_no_row_is_refused() -> None:
    sketch = Sketch.zeros(4, columns=2)
    with pytest.raises(ShapeError, match=r"rows must be real of shape \(n, 4\).*\(3, 5\)"):
        sketch.update(torch.zeros(3, 5))
    with pytest.raises(ShapeError, match=r"keep must be bool of shape \(3,\).*\(2,\)"):
        sketch.update(torch.zeros(3, 4), keep=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"other must be of shape \(4, 2\), got \(4, 3\)"):
        sketch.merge(Sketch.zeros(4, columns=3))
    with pytest.raises(ShapeError, match="columns must be from 1 to width, got 512 of width 0"):
        Sketch.zeros(0)


def test_two_passes_of_the_same_rows_are_the_same_to_the_bit() -> None:
    rows = rows_like(100, dtype=torch.float32)
    np.testing.assert_array_equal(of(rows).products, of(rows).products)


def test_nothing_looks_at_a_number_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_may_branch", lambda device: False)
    real = Sketch.zeros(40, columns=6)
    # A tensor without numbers raises where one is asked for.
    with FakeTensorMode() as mode:
        fake = mode.from_tensor
        sketch = Sketch(
            count=fake(real.count),
            heaviest=fake(real.heaviest),
            read=fake(real.read),
            mean=fake(real.mean),
            products=fake(real.products),
            squares=fake(real.squares),
            dropped=fake(real.dropped),
            signs=Signs(fake(real.signs.values)),
        )
        sketch.update(torch.randn(30, 40)).update(torch.randn(30, 40), keep=torch.rand(30) > 0.5)
        assert sketch.products.shape == (40, 6)


class Largest(TorchDispatchMode):
    """Notes the largest memory that an operation gives out, but for some that was there before."""

    def __init__(self, before: Sketch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0
        there = (before.products, before.squares, before.mean, before.signs.values)
        self._there = {each.untyped_storage().data_ptr() for each in there}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor) and each.untyped_storage().data_ptr() not in self._there:
                self.nbytes = max(self.nbytes, each.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_copy_of_a_sketch_is_made(dtype: torch.dtype) -> None:
    sketch, rows = Sketch.zeros(20_000), torch.randn(50, 20_000, dtype=dtype)
    with Largest(sketch) as largest:
        sketch.update(rows)
        leading(sketch)
    assert sketch.products.nbytes == 8 * 20_000 * COLUMNS > 80e6
    # The centred rows, or products with a part of the features.
    assert 0 < largest.nbytes <= max(8 * 51 * 20_000, 8 * 2**20)


def test_torchs_default_type_does_not_matter() -> None:
    rows = rows_like(100, dtype=torch.float32) * 1e6
    torch.set_default_dtype(torch.float16)
    try:
        came = of(rows)
        assert leading(came).eigenvalues.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert_sketch(came, rows, within=1e-6)


@pytest.mark.usefixtures("branches")
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-9), (torch.float32, 1e-6)])
def test_a_row_of_weight_counts_as_often(dtype: torch.dtype, within: float) -> None:
    light, heavy = rows_like(70, dtype=dtype), rows_like(30, mean=3.0, dtype=dtype)
    came = of(light).update(heavy, weight=3)
    assert_sketch(came, torch.cat([light, heavy, heavy, heavy]), within=within)
    assert (int(came.heaviest), came.rows, int(came.read)) == (3, 54, 100)
    assert Sketch.zeros(40, columns=6).merge(came).heaviest == 3


def test_a_state_goes_on_to_the_bit_and_is_a_copy() -> None:
    first, second = rows_like(50), rows_like(60)
    whole = Sketch.zeros(40, columns=6).update(first, weight=2)
    state = whole.state()
    whole.update(second)
    again = Sketch.of_state(state).update(second)
    assert torch.equal(again.products, whole.products)
    assert torch.equal(again.mean, whole.mean)
    assert (int(again.count), int(again.heaviest)) == (160, 2)
    assert int(state["count"]) == 100
    with pytest.raises(ArgumentError, match="signs must be those that this version"):
        Sketch.of_state(state | {"signs": -state["signs"]})
