import gc

import pytest
import torch

from fathom.spectral.signs import Signs

CPU = torch.device("cpu")


def test_signs_are_independent_in_rows_and_columns() -> None:
    values = Signs.of(4000, 16, CPU).values.double()
    assert set(values.unique().tolist()) == {-1.0, 1.0}
    assert (values.T @ values / 4000 - torch.eye(16)).abs().max() < 0.08


def test_signs_are_the_same_each_time_and_leave_the_random_state() -> None:
    state = torch.get_rng_state()
    first = Signs.of(50, 7, CPU)
    assert Signs.of(50, 7, CPU) is first
    values = first.values.clone()
    del first
    gc.collect()
    torch.manual_seed(4)
    torch.set_rng_state(state)
    assert torch.equal(Signs.of(50, 7, CPU).values, values)
    assert torch.equal(torch.get_rng_state(), state)


def test_signs_do_not_depend_on_the_processor() -> None:
    drawn = Signs.of(3, 8, CPU).values
    assert drawn.tolist() == SIGNS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_projection_in_parts_is_the_product(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.spectral.signs._PART_ON_CPU", 64)
    signs = Signs.of(50, 7, CPU)
    assert len(signs.parts()) == 6
    rows = torch.randn(5, 50, dtype=dtype)
    torch.testing.assert_close(signs.project(rows), rows @ signs.values.to(dtype))


SIGNS = [[1, -1, 1, 1, 1, 1, 1, -1], [-1, 1, 1, -1, -1, -1, 1, -1], [-1, -1, 1, 1, 1, 1, -1, -1]]
