"""Whatever else happens to an output, its rows are recorded as they were, each once."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import fathom
import reference


def assert_rows(reading: fathom.Reading, rows: Tensor) -> None:
    expected = reference.eigenvalues(rows.detach().double().numpy())
    found = reading.eigenvalues.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected[0])
    assert reading.rows == len(rows)


class Overwriting(nn.Module):
    """Overwrites the outputs of its layers in place, in two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.second = nn.Linear(6, 6)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first(x))
        output: Tensor = self.second(hidden)
        output += hidden
        return output


def test_overwriting_an_output_in_place_does_not_change_what_is_recorded() -> None:
    torch.manual_seed(2)
    model, inputs = Overwriting(), torch.randn(40, 5)
    with fathom.watch(model, budget=None) as monitor:
        model(inputs)
        snapshot = monitor.snapshot(step=0)
    assert_rows(snapshot.train["first"], model.first(inputs))
    assert_rows(snapshot.train["second"], model.second(model.first(inputs).relu()))


@pytest.mark.regime("Modes")
def test_inference_mode_first_and_training_later() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2))
    one, other = torch.randn(20, 5), torch.randn(30, 5)
    with fathom.watch(model, budget=None) as monitor:
        with torch.inference_mode():
            model(one)
        model(other).sum().backward()
        reading = monitor.snapshot(step=0).train["0"]
        with torch.inference_mode():
            model(one)
            inside = monitor.snapshot(step=1).train["0"]
    assert_rows(reading, model[0](torch.cat([one, other])))
    assert_rows(inside, model[0](one))


class Checkpointed(nn.Module):
    def __init__(self, *, use_reentrant: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)) for _ in range(2)
        )
        self.head = nn.Linear(6, 2)
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.use_reentrant)
        classes: Tensor = self.head(x)
        return classes


@pytest.mark.regime("Checkpointing")
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_each_row_counts_once_under_activation_checkpointing(
    use_reentrant: bool, every: int
) -> None:
    torch.manual_seed(4)
    model = Checkpointed(use_reentrant=use_reentrant)
    batches = [torch.randn(12, 6, requires_grad=True) for _ in range(3)]
    with fathom.watch(model, every=every, budget=None) as monitor:
        for batch in batches:
            loss = model(batch).square().sum()
            loss.backward(retain_graph=not use_reentrant)
            if not use_reentrant:
                loss.backward()
        snapshot = monitor.snapshot(step=0)
    kept = batches[::every]
    assert {reading.rows for reading in snapshot.train.values()} == {12 * len(kept)}
    assert {reading.calls for reading in snapshot.train.values()} == {len(kept)}
    assert len(snapshot.train) == 5
    inside = model.get_submodule("blocks.0")(torch.cat(kept))
    assert_rows(snapshot.train["blocks.0.2"], inside)


@pytest.mark.parametrize("conv", ["positions", "mean", "median"])
def test_autocast_does_not_reach_the_numbers(conv: str) -> None:
    torch.manual_seed(5)
    layer = nn.Conv2d(1, 6, 3)
    images = torch.randn(40, 1, 6, 6) + 3
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        fathom.watch(layer, conv=conv, budget=None) as monitor,
    ):
        output = layer(images)
        reading = monitor.snapshot(step=0).train[""]
    assert output.dtype == torch.bfloat16
    maps = output.detach().double().flatten(2)
    rows = {
        "positions": maps.transpose(1, 2).flatten(0, 1),
        "mean": maps.mean(2),
        "median": torch.from_numpy(np.median(maps.numpy(), axis=2)),
    }[conv]
    assert_rows(reading, rows)
