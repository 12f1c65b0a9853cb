import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import fathom
import reference
from fathom import Moments, Spectrum

fast = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)
DTYPES = {torch.float32: 5e-6, torch.float64: 1e-12}


@st.composite
def streams(draw: st.DrawFn, dtype: torch.dtype | None = None) -> Tensor:
    """Rows of any number, width, spectrum, scale and mean up to 1,000 times the spread."""
    n, d = draw(st.integers(1, 60)), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(seeds))
    spread = torch.arange(1, d + 1, dtype=torch.float64) ** -draw(st.floats(0, 2))
    mixed = torch.randn(d, d, dtype=torch.float64, generator=generator)
    rows = torch.randn(n, d, dtype=torch.float64, generator=generator) * spread @ mixed
    mean = draw(st.sampled_from([0.0, 1.0, 100.0, 1000.0]))
    rows = (rows + mean) * draw(st.sampled_from([1e-18, 1e-3, 1.0, 1e5, 1e18]))
    return rows.to(dtype or draw(st.sampled_from(list(DTYPES))))


@st.composite
def splits(draw: st.DrawFn, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Rows cut into batches of any sizes, empty ones among them."""
    rows = draw(streams(dtype))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    return list(rows.tensor_split(cuts))


def of(rows: Tensor) -> Moments:
    return Moments.zeros(rows.shape[1]).update(rows)


def copied(moments: Moments) -> Moments:
    return Moments.zeros(moments.width).merge(moments)


def assert_close(one: Moments, other: Moments, *, rel: float) -> None:
    """Counts are equal; means and covariances up to `rel` of their own size."""
    assert int(one.count) == int(other.count)
    assert int(one.dropped) == int(other.dropped)
    scale = float(torch.maximum(one.scatter.abs().amax(), other.scatter.abs().amax()))
    # A spread below the resolution at the mean is rounding itself.
    mean, count = float(one.mean.abs().amax()), int(one.count)
    resolution = rel * mean**2 * count * rel
    # Parts whose means differ by the spread itself differ by that and the rounding of their means.
    resolution += 4 * torch.finfo(torch.float64).eps * mean * (scale * count) ** 0.5
    assert float((one.scatter - other.scatter).abs().amax()) <= rel * scale + resolution
    size = float(one.mean.abs().amax()) + (scale / max(int(one.count), 1)) ** 0.5
    assert float((one.mean - other.mean).abs().amax()) <= rel * size


@fast
@given(splits())
def test_how_rows_are_split_never_changes_the_moments(batches: list[Tensor]) -> None:
    rows = torch.cat(batches)
    split = Moments.zeros(rows.shape[1])
    for batch in batches:
        split.update(batch)
    assert_close(split, of(rows), rel=DTYPES[rows.dtype])


@fast
@given(splits())
def test_moments_merge_to_those_of_one_pass(batches: list[Tensor]) -> None:
    rows = torch.cat(batches)
    merged = Moments.zeros(rows.shape[1])
    for batch in batches:
        merged.merge(of(batch))
    assert_close(merged, of(rows), rel=DTYPES[rows.dtype])


@fast
@given(splits(torch.float64), st.integers(0, 6), st.integers(0, 6))
def test_merge_is_commutative_and_associative(batches: list[Tensor], i: int, j: int) -> None:
    first, second, third = (of(batches[at % len(batches)]) for at in (0, i, j))
    assert_close(copied(first).merge(second), copied(second).merge(first), rel=1e-12)
    left = copied(first).merge(second).merge(third)
    right = copied(first).merge(copied(second).merge(third))
    assert_close(left, right, rel=1e-12)


@fast
@given(streams(), seeds)
def test_the_order_of_rows_does_not_matter(rows: Tensor, seed: int) -> None:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    assert_close(of(rows[order]), of(rows), rel=DTYPES[rows.dtype])


@fast
@given(streams())
def test_the_covariance_is_that_of_the_reference(rows: Tensor) -> None:
    moments = of(rows)
    assert int(moments.count) == len(rows)
    expected = reference.covariance(rows.double().numpy())
    # Where all rows are equal the expected spread is 0, and what is left is float64's rounding.
    resolution = (1e-12 * np.abs(rows.double().numpy()).max()) ** 2
    np.testing.assert_allclose(
        moments.covariance().numpy(),
        expected,
        rtol=0,
        atol=DTYPES[rows.dtype] * np.abs(expected).max() + resolution,
    )


@fast
@given(streams(), st.sets(st.integers(0, 59)), st.sampled_from([torch.nan, torch.inf, -torch.inf]))
def test_bad_rows_are_as_if_they_had_not_come(rows: Tensor, at: set[int], bad: float) -> None:
    spoiled = rows.clone()
    chosen = [place for place in at if place < len(rows)]
    spoiled[chosen, rows.shape[1] // 2] = bad
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[chosen] = False
    moments = of(spoiled)
    assert int(moments.dropped) == len(chosen)
    moments.dropped.zero_()
    assert_close(moments, of(rows[kept]), rel=DTYPES[rows.dtype])


@fast
@given(splits(), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_intrinsic_dimension_is_that_of_the_reference(
    batches: list[Tensor], threshold: float
) -> None:
    rows = torch.cat(batches)
    assume(len(rows) > 1)
    truth = reference.eigenvalues(rows.double().numpy())
    assume(reference.margin_at_cut(truth, threshold) > DTYPES[rows.dtype])
    moments = Moments.zeros(rows.shape[1])
    for batch in batches:
        moments.update(batch)
    found = fathom.intrinsic_dimension(Spectrum.of(moments), threshold=threshold)
    assert found == reference.intrinsic_dimension(truth, threshold)


@fast
@given(streams(torch.float64), seeds, st.floats(1e-6, 1e6))
def test_saturation_is_unchanged_by_rotation_and_scale(
    rows: Tensor, seed: int, scale: float
) -> None:
    assume(len(rows) > 1)
    truth = reference.eigenvalues(rows.numpy())
    assume(reference.margin_at_cut(truth) > 1e-6)
    generator = torch.Generator().manual_seed(seed)
    d = rows.shape[1]
    rotation = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    turned = fathom.saturation(Spectrum.of(of(scale * rows @ rotation)))
    assert turned == fathom.saturation(Spectrum.of(of(rows)))
    assert turned == reference.intrinsic_dimension(truth) / d


@fast
@given(streams())
def test_spectra_are_descending_with_at_most_one_fewer_than_rows(rows: Tensor) -> None:
    spectrum = Spectrum.of(of(rows))
    values = spectrum.eigenvalues
    assert values.shape == (rows.shape[1],)
    assert (values >= 0).all()
    assert (values[:-1] >= values[1:]).all()
    assert int((values > 0).sum()) <= min(len(rows) - 1, rows.shape[1])
