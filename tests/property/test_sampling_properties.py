"""Sampled readings: right on average over many windows, and exact at a budget of 1."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import fathom
from fathom.capture.rows import features_last
from fathom.capture.sampling import Plan, Sampler
from fathom.spectral.moments import Moments


def drifting(calls: int, rows: int) -> list[Tensor]:
    """Batches whose mean and spread move in the course of a window."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(rows, 3, generator=generator) * (1 + call / 20) + call / 10
        for call in range(calls)
    ]


def sampled(batches: list[Tensor], seed: str, plan: Plan) -> Moments:
    sampler, moments = Sampler(seed, 0.02, plan), Moments.zeros(3)
    for batch in batches:
        if sampler.reads():
            part = sampler.sample(features_last(batch), 1.0)
            moments.update(part.values, weight=sampler.weight)
    return moments


@pytest.mark.parametrize("calls", [7, 100])
@pytest.mark.parametrize("plan", [Plan(8, (1,), 64), Plan(4, (3,), 64), Plan(1, (8,), 64)])
def test_a_drifting_window_is_right_on_average(calls: int, plan: Plan) -> None:
    """The mean and second moment over all windows are those of every row."""
    batches = drifting(calls, 64)
    whole = torch.cat(batches).double()
    means, seconds = [], []
    for window in range(200):
        moments = sampled(batches, f"{window}", plan)
        # Sums over the window: a ratio of two sums that are drawn is right for many rows only.
        mean, share = moments.mean, int(moments.count) / len(whole)
        means.append(mean * share)
        seconds.append((moments.covariance() + torch.outer(mean, mean)) * share)
    for found, truth in (
        (torch.stack(means), whole.mean(0)),
        (torch.stack(seconds), whole.T @ whole / len(whole)),
    ):
        error = found.std(0) / len(found) ** 0.5
        assert ((found.mean(0) - truth).abs() < 5 * error).all()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 20)
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30))
def test_a_budget_of_1_is_every_row(calls: int, batch: int) -> None:
    found: list[Any] = []
    for budget in (1, None):
        model = network()
        with fathom.watch(model, budget=budget) as monitor:
            for call in range(calls):
                model(torch.randn(batch, 2, 6, 6, generator=torch.Generator().manual_seed(call)))
            found.append(monitor.snapshot(0).train)
    for name, reading in found[0].items():
        assert torch.equal(reading.eigenvalues, found[1][name].eigenvalues)
        assert reading.rows == found[1][name].rows
        assert reading.calls == calls


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 60))
def test_a_reading_is_of_rows_that_came(calls: int) -> None:
    """What is read within a budget is a part of the rows: no direction that none of them has."""
    model = nn.Sequential(nn.Linear(16, 24))
    with fathom.watch(model) as monitor, fathom.watch(copy.deepcopy(model)) as idle:
        for _ in range(calls):
            model(torch.randn(32, 16))
        reading = monitor.snapshot(0).train["0"]
        assert idle.snapshot(0).unobserved == ("0",)
    assert 1 <= reading.calls <= calls
    assert 1 <= reading.rows <= 32 * calls
    assert int((reading.eigenvalues > 1e-9 * reading.eigenvalues[0]).sum()) <= 16
