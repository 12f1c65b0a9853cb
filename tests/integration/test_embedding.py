"""Samples in two eigendirections: the numbers of NumPy, in the order of the data."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset

import fathom
import reference


def coordinates(rows: Tensor, of: Tensor) -> Any:
    """(n, 2) of (n, d) rows, about the mean of others, with the signs that fathom gives."""
    directions = reference.leading_directions(of, 2)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(0)[None], 0)
    return (rows.double().numpy() - of.double().numpy().mean(0)) @ (directions * np.sign(largest))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(6 * 16, 5)
    )


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(300, 1, 6, 6), torch.arange(300) % 4


def test_coordinates_labels_and_shares(data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    model = network().eval()
    with (
        torch.no_grad(),
        fathom.watch(model, tmp_path / "run", keep="covariance", budget=None) as monitor,
    ):
        outputs = model(data[0])
        maps = model[0](data[0])
        embedding = fathom.embed(model, data, monitor, samples=250)
        monitor.snapshot(0)
    assert list(embedding.coordinates) == ["0", "3"]
    np.testing.assert_allclose(
        embedding.coordinates["3"], coordinates(outputs, outputs)[:250], atol=1e-5
    )
    # A position is a row, and a sample the mean of its positions.
    rows = torch.cat([maps, maps]).movedim(1, -1).reshape(-1, 6)
    np.testing.assert_allclose(
        embedding.coordinates["0"], coordinates(maps.mean((2, 3)), rows)[:250], atol=1e-5
    )
    assert embedding.labels is not None
    assert np.array_equal(embedding.labels, data[1][:250].numpy())
    values = reference.eigenvalues(outputs)
    assert embedding.shares["3"] == pytest.approx(tuple(values[:2] / values.sum()), rel=1e-5)
    again = fathom.embed(model, data, tmp_path / "run", samples=250, layers=["3"])
    np.testing.assert_allclose(again.coordinates["3"], embedding.coordinates["3"], atol=1e-5)
    lines = str(embedding).splitlines()
    assert lines[0].split() == ["layer", "first", "direction", "second", "both"]
    assert lines[-1] == "Embedding(250 samples, 2 layers)"
    assert "first direction" in embedding._repr_html_()


def test_a_loader_keeps_its_order_and_all_random_states(data: tuple[Tensor, Tensor]) -> None:
    model = network()
    moments = {"3": fathom.Moments.zeros(5).update(torch.randn(50, 5))}
    loader = DataLoader(TensorDataset(*data), batch_size=64, shuffle=True)
    before: Any = torch.get_rng_state(), random.getstate(), np.random.get_state()
    first = fathom.embed(model, loader, moments)
    again = fathom.embed(model, loader, moments)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    now: Any = np.random.get_state()
    assert np.array_equal(now[1], before[2][1])
    assert model.training
    assert not any(each._forward_hooks for each in model)
    assert np.array_equal(first.coordinates["3"], again.coordinates["3"])
    plain = fathom.embed(model, data, moments)
    assert plain.labels is not None
    assert first.labels is not None
    assert not np.array_equal(first.labels, plain.labels)
    for label in range(4):
        np.testing.assert_allclose(
            first.coordinates["3"][first.labels == label].sum(0),
            plain.coordinates["3"][plain.labels == label].sum(0),
            atol=1e-4,
        )


@pytest.mark.parametrize("conv", ["mean", "max", "median", "flatten"])
def test_every_way_to_take_rows_of_maps(conv: str, data: tuple[Tensor, Tensor]) -> None:
    model = network().eval()
    with torch.no_grad(), fathom.watch(model, conv=conv, budget=None) as monitor:
        model(data[0])
        maps = model[0](data[0]).flatten(2)
        found = fathom.embed(model, data, monitor, layers=["0"]).coordinates["0"]
    rows = {
        "mean": maps.mean(2),
        "max": maps.amax(2),
        "median": maps.quantile(0.5, dim=2),
        "flatten": maps.flatten(1),
    }[conv]
    np.testing.assert_allclose(found, coordinates(rows, rows), atol=1e-4)


class Memory(nn.Module):
    """A recurrent layer on sequences that are packed by their lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.GRU(3, 6, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> PackedSequence:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.memory(packed)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("timesteps", ["all", "last"])
def test_packed_sequences_count_by_their_lengths_in_the_order_of_the_batch(timesteps: str) -> None:
    torch.manual_seed(0)
    model, x = Memory().eval(), torch.randn(30, 5, 3)
    lengths = torch.randint(1, 6, (30,))
    batch = {"x": x, "lengths": lengths, "labels": torch.arange(30)}
    with torch.no_grad(), fathom.watch(model, timesteps=timesteps, budget=None) as monitor:
        model(x, lengths)
        embedding = fathom.embed(model, [batch], monitor)
        states = [model.memory(each[:n])[0] for each, n in zip(x, lengths.tolist(), strict=True)]
    means = torch.stack([s.mean(0) if timesteps == "all" else s[-1] for s in states])
    rows = torch.cat(states) if timesteps == "all" else means
    np.testing.assert_allclose(embedding.coordinates["memory"], coordinates(means, rows), atol=1e-5)
    assert embedding.labels is not None
    assert np.array_equal(embedding.labels, np.arange(30))


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 6)

    def forward(self, inputs: Tensor, attention_mask: Tensor) -> Tensor:
        return self.layer(inputs)  # type: ignore[no-any-return]


def test_padding_does_not_count() -> None:
    torch.manual_seed(0)
    model, x = Masked().eval(), torch.randn(30, 5, 3)
    mask = torch.arange(5) < torch.randint(1, 6, (30, 1))
    x[~mask] = torch.nan
    with torch.no_grad(), fathom.watch(model, budget=None) as monitor:
        outputs = model(x, attention_mask=mask.long())
        batch = {"inputs": x, "attention_mask": mask.long()}
        embedding = fathom.embed(model, [batch, batch], monitor, samples=45)
    means = torch.stack([each[kept].mean(0) for each, kept in zip(outputs, mask, strict=True)])
    expected = coordinates(means, outputs[mask])
    found = embedding.coordinates["layer"]
    np.testing.assert_allclose(found, np.concatenate([expected, expected[:15]]), atol=1e-5)
    assert embedding.labels is None


def test_a_layer_of_width_1_has_no_second_direction() -> None:
    model, x = nn.Linear(3, 1), torch.randn(40, 3)
    moments = fathom.Moments.zeros(1).update(model(x))
    embedding = fathom.embed(model, (x,), {"": moments})
    assert embedding.coordinates[""].shape == (40, 2)
    assert not embedding.coordinates[""][:, 1].any()
    assert embedding.shares[""] == (1.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples must be a whole number >= 1, got 0"),
        ({"data": []}, "data must have a sample"),
        ({"data": {"x": torch.zeros(2)}}, "data must be a DataLoader"),
        ({"layers": ["0"]}, "'0' that has none"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: dict[str, Any], message: str, data: tuple[Tensor, Tensor]
) -> None:
    moments = {"3": fathom.Moments.zeros(5).update(torch.randn(50, 5))}
    with pytest.raises(fathom.ArgumentError, match=message):
        fathom.embed(network(), arguments.pop("data", data), moments, **arguments)


def test_layers_that_do_not_fit_the_samples_are_named(data: tuple[Tensor, Tensor]) -> None:
    class Pieces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.idle = nn.Linear(6, 4), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(0, 2))  # type: ignore[no-any-return]

    moments = fathom.Moments.zeros(4).update(torch.randn(50, 4))
    with pytest.raises(fathom.ShapeError, match=r"layer layer must.*768.*128 labels"):
        fathom.embed(Pieces(), data, {"layer": moments})
    with pytest.raises(fathom.ArgumentError, match="'idle' that was not"):
        fathom.embed(Pieces(), data, {"idle": moments})
