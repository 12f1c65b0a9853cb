"""What is read within a budget: evenly, at the cost that was planned, by draws of its own."""

import random
from collections import Counter
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fathom.capture.rows import Rows, channels_second, features_last
from fathom.capture.sampling import _CPU, Plan, Sampler, plan_of

sizes = st.integers(1, 40)
budgets = st.floats(0.001, 0.99)


@st.composite
def all_rows(draw: st.DrawFn) -> Rows:
    """What a call of a layer gives, in one of the layouts that there are."""
    width = draw(st.integers(1, 600))
    batch, first, second = draw(sizes), draw(sizes), draw(sizes)
    layout = draw(st.sampled_from(["maps", "tokens", "sequence first", "rows"]))
    if layout == "maps":
        return channels_second(torch.empty(batch, 1, first, second).expand(-1, width, -1, -1))
    if layout == "rows":
        return features_last(torch.empty(batch, 1).expand(-1, width))
    axis = 1 if layout == "sequence first" else 0
    return features_last(torch.empty(batch, first, 1).expand(-1, -1, width), batch_axis=axis)


def cost_of(plan: Plan, rows: Rows) -> float:
    """Operations a call, on average over calls and draws."""
    width = rows.values.shape[-1]
    number = _CPU.near if rows.values.stride(-1) == 1 else _CPU.number
    read = rows.values.shape[:-1].numel() / prod(plan.strides)
    each = width * (2 * width + number)
    return (_CPU.call + _CPU.square * width**2 + read * each) / plan.period


@given(all_rows(), st.floats(1e6, 1e13), budgets)
def test_a_plan_keeps_to_the_budget(rows: Rows, arithmetic: float, budget: float) -> None:
    plan = plan_of(rows, arithmetic, budget)
    assert plan.period in {2**each for each in range(9)}
    assert len(plan.strides) == rows.values.ndim - 1
    for stride, size in zip(plan.strides, rows.values.shape, strict=False):
        assert 1 <= stride <= size
    allowed = max(budget * arithmetic, _CPU.least)
    width = rows.values.shape[-1]
    # At least rows that cost as much as the call, or one, are read at one of 256 calls.
    call, each = _CPU.call + _CPU.square * width**2, width * (2 * width + _CPU.number)
    assert cost_of(plan, rows) <= max(1.0001 * allowed, (call + max(call, each)) / 256)


@given(all_rows(), st.floats(1e6, 1e13), budgets)
def test_a_larger_budget_never_reads_less(rows: Rows, arithmetic: float, budget: float) -> None:
    def read(share: float) -> float:
        plan = plan_of(rows, arithmetic, share)
        return 1 / (plan.period * prod(plan.strides))

    assert read(min(1, 4 * budget)) >= read(budget)


def test_small_layers_are_read_whole_at_few_calls_and_large_ones_in_part_at_most_calls() -> None:
    small = plan_of(features_last(torch.randn(32, 10)), 6 * 32 * 10 * 10, 0.02)
    assert small.period > 8
    assert small.strides == (1,)
    maps = channels_second(torch.randn(64, 64, 32, 32))
    large = plan_of(maps, 6 * 64 * 1024 * 64 * 576, 0.02)
    assert large.period <= 2
    # Lines of all images, rather than all lines of some images.
    assert large.strides[0] == large.strides[2] == 1
    assert large.strides[1] > 4


# Until 25 rows per width, or what may be spent ahead, have been read.
@pytest.mark.parametrize(("count", "first"), [(64, 4), (4, 6)])
def test_the_first_calls_are_read_and_then_one_of_each_group(count: int, first: int) -> None:
    sampler = Sampler("seed", 0.02)
    rows = features_last(torch.randn(count, 3))
    read, sizes = [], []
    for call in range(2000):
        if sampler.reads():
            read.append(call)
            sizes.append(sampler.size)
            sampler.sample(rows, 100.0)
    assert read[:first] == [*range(first)]
    assert sizes[first] == 2
    assert sizes == sorted(sizes)
    assert sampler.plan is not None
    assert {*sizes} == {2**each for each in range(sampler.plan.period.bit_length())}
    starts = [sum(sizes[:group]) for group in range(len(sizes))]
    for call, start, size in zip(read, starts, sizes, strict=True):
        assert start <= call < start + size
    assert sampler.weight == sampler.plan.period


def test_a_wide_layer_is_read_by_more_than_a_row() -> None:
    rows = features_last(torch.empty(256, 1).expand(-1, 6000))
    plan = plan_of(rows, 6 * 256 * 64 * 6000.0, 0.02, sketched=True)
    assert 256 / prod(plan.strides) >= 32


def test_the_draws_depend_on_the_seed_alone() -> None:
    def calls(seed: str) -> list[bool]:
        sampler = Sampler(seed, 0.02, Plan(8, (1,), 10), size=8)
        return [sampler.reads() for _ in range(200)]

    state, generator = random.getstate(), torch.get_rng_state()
    assert calls("a") == calls("a")
    assert len({tuple(calls(seed)) for seed in "abcdef"}) == 6
    assert random.getstate() == state
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_layer_that_is_called_twice_a_step_is_read_at_both_calls() -> None:
    counted: Counter[int] = Counter()
    for window in range(200):
        sampler = Sampler(f"{window}", 0.02, Plan(8, (1,), 10), size=8)
        counted.update(call % 2 for call in range(80) if sampler.reads())
    assert sum(counted.values()) == 2000
    assert abs(counted[0] - 1000) < 5 * 2000**0.5 / 2


@pytest.mark.parametrize("strides", [(1, 3, 1), (2, 4, 3), (5, 1, 1), (1, 7, 7)])
def test_every_row_is_as_likely_to_be_read(strides: tuple[int, ...]) -> None:
    maps = torch.arange(3 * 7 * 5.0).reshape(3, 1, 7, 5)
    rows = channels_second(maps)
    draws = 3000
    counted = torch.zeros(maps.numel())
    for seed in range(draws):
        sampler = Sampler(f"{seed}", 0.02, Plan(1, strides, 105))
        part = sampler.sample(rows, 1.0)
        counted[part.values.flatten().long()] += 1
        assert part.samples == part.values.shape[0]
    share = 1 / prod(strides)
    spread = (draws * share * (1 - share)) ** 0.5
    assert (counted - draws * share).abs().max() < 5 * spread


def test_what_is_read_is_a_view_with_the_mask_that_goes_with_it() -> None:
    tokens = torch.randn(6, 8, 4)
    mask = torch.arange(8) < torch.tensor([8, 3, 5, 1, 8, 2])[:, None]
    rows = features_last(tokens, mask=mask)
    sampler = Sampler("seed", 0.02, Plan(1, (2, 3), 48))
    part = sampler.sample(rows, 1.0)
    assert part.values.untyped_storage().data_ptr() == tokens.untyped_storage().data_ptr()
    assert part.keep is not None
    expected = tokens[mask]
    for row in part.values[part.keep]:
        assert (expected == row).all(1).any()
    for row in part.values[~part.keep]:
        assert not (expected == row).all(1).any()


def test_calls_that_grow_are_planned_for_anew() -> None:
    sampler = Sampler("seed", 0.02)
    sampler.sample(features_last(torch.randn(2, 64)), 6 * 2 * 64.0 * 64)
    first = sampler.plan
    sampler.sample(features_last(torch.randn(4, 64)), 6 * 4 * 64.0 * 64)
    assert sampler.plan is first
    sampler.sample(features_last(torch.randn(4000, 64)), 6 * 4000 * 64.0 * 64)
    assert sampler.plan is not first


def test_a_sampler_goes_on_where_another_was() -> None:
    rows = channels_second(torch.randn(8, 16, 6, 6))

    def run(sampler: Sampler, calls: int) -> list[torch.Tensor]:
        return [sampler.sample(rows, 1e9).values for _ in range(calls) if sampler.reads()]

    whole, first = Sampler("seed", 0.02), Sampler("seed", 0.02)
    expected = run(whole, 100)
    found = run(first, 37)
    found += run(Sampler.of("seed", 0.02, first.numbers()), 63)
    assert len(found) == len(expected) > 3
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
