"""Mixed precision: products and sums keep full precision, and a type too coarse is told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference

pytestmark = pytest.mark.regime("Precision")

TYPES = [torch.bfloat16, torch.float16]


def inputs(ratio: float) -> Tensor:
    """Rows of 64 features in 31 directions that carry 99 percent, at so many times the spread."""
    generator = torch.Generator(torch.get_default_device()).manual_seed(0)
    spread = torch.cat([torch.ones(31), torch.full((33,), 0.05)])
    turn: Tensor = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q
    rows: Tensor = torch.randn(20_000, 64, generator=generator) * spread @ turn
    return rows + ratio * rows.std(0)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_autocast_outputs_are_read_at_full_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, batch = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16)), inputs(1.0)
    with fathom.watch(model, budget=None) as monitor, torch.autocast("cpu", dtype):
        output = model[0](batch)
        reading = monitor.snapshot(0).train["0"]
    assert output.dtype == dtype
    expected = reference.eigenvalues(output)
    np.testing.assert_allclose(reading.eigenvalues, expected, rtol=1e-4, atol=1e-6 * expected[0])


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_model_cast_to_half_trains_watched(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    model, batch = nn.Linear(64, 32).to(dtype), inputs(1.0)[:2000].to(dtype)
    with fathom.watch(model, budget=None) as monitor:
        output = model(batch)
        output.sum().backward()
        reading = monitor.snapshot(0).train[""]
    expected = reference.eigenvalues(output)
    np.testing.assert_allclose(reading.eigenvalues, expected, rtol=1e-4, atol=1e-6 * expected[0])
    assert reading.status == "settled"


def test_a_mean_far_above_the_spread_is_too_much_for_bf16_and_said_to_be() -> None:
    model = nn.Identity()
    found = {}
    for ratio in (1.0, 10.0, 100.0):
        for dtype in (torch.float32, torch.bfloat16):
            with fathom.watch(model, layers=[""], budget=None) as monitor:
                model(inputs(ratio).to(dtype))
                found[ratio, dtype] = monitor.snapshot(0).train[""]
    truth = found[1.0, torch.float32].intrinsic_dimension
    for (ratio, dtype), reading in found.items():
        coarse = dtype == torch.bfloat16 and ratio > 1
        assert reading.status == ("coarse" if coarse else "settled")
        if not coarse:
            assert reading.intrinsic_dimension == truth
    # What the word is for.
    assert found[100.0, torch.bfloat16].intrinsic_dimension > truth


def test_float32_is_too_coarse_for_a_mean_a_million_times_the_spread() -> None:
    model = nn.Identity()
    with fathom.watch(model, layers=[""], budget=None) as monitor:
        model(inputs(1e6))
        assert monitor.snapshot(0).train[""].status == "coarse"
        model(inputs(1e6).double())
        assert monitor.snapshot(1).train[""].status == "settled"


def test_a_coarse_reading_is_coarse_on_disk_too(tmp_path: Path) -> None:
    model = nn.Identity()
    with fathom.watch(model, tmp_path / "run", layers=[""], budget=None) as monitor:
        model(inputs(100.0).bfloat16())
        live = monitor.snapshot(0).train[""]
    kept = fathom.open_run(tmp_path / "run").snapshot().train[""]
    assert kept.status == live.status == "coarse"
    assert kept.spectrum.rounding == live.spectrum.rounding
