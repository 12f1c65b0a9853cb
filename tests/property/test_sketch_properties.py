import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import reference
from fathom import Spectrum
from fathom.spectral.sketch import Sketch

fast = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
DTYPES = {torch.float32: 5e-6, torch.float64: 1e-10}


@st.composite
def streams(draw: st.DrawFn, dtype: torch.dtype | None = None) -> Tensor:
    """Rows of any number, width, scale and mean up to 1,000 times the spread."""
    n, d = draw(st.integers(1, 60)), draw(st.integers(2, 24))
    generator = torch.Generator().manual_seed(draw(seeds))
    spread = torch.arange(1, d + 1, dtype=torch.float64) ** -draw(st.floats(0, 2))
    mixed = torch.randn(d, d, dtype=torch.float64, generator=generator)
    rows = torch.randn(n, d, dtype=torch.float64, generator=generator) * spread @ mixed
    rows = rows + draw(st.sampled_from([0.0, 1.0, 1000.0]))
    rows = rows * draw(st.sampled_from([1e-15, 1.0, 1e15]))
    return rows.to(dtype or draw(st.sampled_from(list(DTYPES))))


@st.composite
def splits(draw: st.DrawFn, dtype: torch.dtype | None = None) -> list[Tensor]:
    rows = draw(streams(dtype))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    return list(rows.tensor_split(cuts))


def empty(width: int) -> Sketch:
    return Sketch.zeros(width, columns=min(width, 5))


def of(*batches: Tensor) -> Sketch:
    sketch = empty(batches[0].shape[1])
    for batch in batches:
        sketch.update(batch)
    return sketch


def copied(sketch: Sketch) -> Sketch:
    return Sketch.zeros(sketch.width, columns=sketch.columns).merge(sketch)


def assert_close(one: Sketch, other: Sketch, *, rel: float) -> None:
    assert int(one.count) == int(other.count)
    total = float(torch.maximum(one.squares.sum(), other.squares.sum()))
    # A spread below the resolution at the mean is rounding itself.
    mean, count = float(one.mean.abs().amax()), int(one.count)
    resolution = one.width * count * (rel * mean) ** 2
    assert float((one.products - other.products).abs().amax()) <= 10 * (rel * total + resolution)
    assert float((one.squares - other.squares).abs().amax()) <= 10 * (rel * total + resolution)
    spread = (total / max(count, 1)) ** 0.5
    assert float((one.mean - other.mean).abs().amax()) <= rel * (mean + spread)


@fast
@given(splits())
def test_neither_splits_nor_merges_change_a_sketch(batches: list[Tensor]) -> None:
    rows = torch.cat(batches)
    whole = of(rows)
    assert_close(of(*batches), whole, rel=DTYPES[rows.dtype])
    merged = empty(rows.shape[1])
    for batch in batches:
        merged.merge(of(batch))
    assert_close(merged, whole, rel=DTYPES[rows.dtype])


@fast
@given(splits(torch.float64), st.integers(0, 6), st.integers(0, 6))
def test_merge_is_commutative_and_associative(batches: list[Tensor], i: int, j: int) -> None:
    first, second, third = (of(batches[at % len(batches)]) for at in (0, i, j))
    assert_close(copied(first).merge(second), copied(second).merge(first), rel=1e-11)
    left = copied(first).merge(second).merge(third)
    right = copied(first).merge(copied(second).merge(third))
    assert_close(left, right, rel=1e-11)


@fast
@given(streams(), seeds)
def test_the_order_of_rows_does_not_matter(rows: Tensor, seed: int) -> None:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    assert_close(of(rows[order]), of(rows), rel=DTYPES[rows.dtype])


@fast
@given(streams(), st.sets(st.integers(0, 59)), st.sampled_from([torch.nan, torch.inf, -torch.inf]))
def test_bad_rows_are_as_if_they_had_not_come(rows: Tensor, at: set[int], bad: float) -> None:
    spoiled, kept = rows.clone(), torch.ones(len(rows), dtype=torch.bool)
    chosen = [place for place in at if place < len(rows)]
    spoiled[chosen, rows.shape[1] // 2] = bad
    kept[chosen] = False
    sketch = of(spoiled)
    assert int(sketch.dropped) == len(chosen)
    assert_close(sketch, of(rows[kept]), rel=DTYPES[rows.dtype])


@fast
@given(streams(torch.float64), st.sampled_from([0.5, 0.9, 0.99]))
def test_eigenvalues_lie_below_the_true_ones_and_add_up_to_what_is_captured(
    rows: Tensor, threshold: float
) -> None:
    assume(len(rows) > 1)
    spectrum = Spectrum.of(of(rows))
    truth = reference.eigenvalues(rows.numpy())
    assume(truth[0] > 1e-16 * float(rows.abs().amax()) ** 2)
    values = spectrum.eigenvalues.numpy()
    assert (values <= truth[: len(values)] + 1e-6 * truth[0]).all()
    assert (values[:-1] >= values[1:]).all()
    assert 0 <= spectrum.captured <= 1
    found = spectrum.statistics(threshold)["intrinsic_dimension"]
    assert spectrum.at_least(threshold) >= 1
    # An answer is never too small.
    assume(reference.margin_at_cut(truth, threshold) > 1e-5)
    assert not found < reference.intrinsic_dimension(truth, threshold)
