"""Data of any form, and outputs of any form: probes, pictures and similarity read the same."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import fathom


class Words(nn.Module):
    """A packed recurrent layer, read out by the means of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(4, 3, batch_first=True)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        steps, counts = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        out: Tensor = self.head(steps.sum(1) / counts[:, None])
        return out


def third(batch: Any) -> Any:
    return batch[0], batch[2]


@pytest.fixture
def rows() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(80, 6)
    return x, torch.arange(80), (x[:, 0] > 0).long()


def moments_of(model: nn.Module, layers: tuple[str, ...], *inputs: Tensor) -> Any:
    with fathom.watch(model, layers=layers, budget=None) as monitor, torch.no_grad():
        model.eval()(*inputs)
        return monitor.moments("eval")


def test_which_of_several_columns_are_labels_is_asked(rows: tuple[Tensor, Tensor, Tensor]) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2))
    x, _, y = rows
    moments = moments_of(model, ("0",), x)
    with pytest.raises(fathom.ArgumentError, match=r"train_data must say which .* got 2 beside"):
        fathom.probe(model, [rows], [rows])
    with pytest.raises(fathom.ArgumentError, match="data must say which"):
        fathom.embed(model, [rows], moments)
    assert fathom.probe(model, [rows], [rows], unpack=third) == fathom.probe(
        model, [(x, y)], [(x, y)]
    )
    assert fathom.embed(model, [rows], moments, unpack=third).labels.tolist() == y.tolist()  # type: ignore[union-attr]
    # Similarity asks for no labels.
    fathom.similarity(model, None, [rows])
    with pytest.raises(fathom.ArgumentError, match=r"probe: unpack must return \(inputs, labels\)"):
        fathom.probe(model, [rows], [rows], unpack=lambda batch: batch[0])


def test_labels_of_another_kind_are_named(rows: tuple[Tensor, Tensor, Tensor]) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2))
    x, _, y = rows
    moments = moments_of(model, ("0",), x)
    with pytest.raises(fathom.ArgumentError, match="labels in a tensor, got ndarray"):
        fathom.probe(model, [(x, y.numpy())], [(x, y)])
    with pytest.raises(fathom.ArgumentError, match=r"\(b,\), got \(80, 5\)"):
        fathom.embed(model, (x, y[:, None].repeat(1, 5)), moments)
    assert fathom.embed(model, x, moments).labels is None


@pytest.mark.parametrize("function", ["probe", "similarity"])
def test_messages_name_the_function_that_was_called(function: str) -> None:
    data = (torch.randn(8, 3), torch.tensor([0, 1] * 4))
    model = nn.Sequential(nn.Linear(3, 2))
    given: dict[str, tuple[Any, ...]] = {"probe": (data, data), "similarity": (None, data)}
    with pytest.raises(fathom.ArgumentError, match=f"^{function}: layers"):
        getattr(fathom, function)(model, *given[function], layers=["nothing"])
    with pytest.raises(fathom.ArgumentError, match=f"^{function}: model.* got str"):
        getattr(fathom, function)("m", *given[function])


def test_a_packed_layer_is_read_everywhere_in_the_order_of_the_batch() -> None:
    torch.manual_seed(0)
    model = Words().eval()
    lengths = torch.tensor([3, 6, 1, 4] * 10)
    x = torch.randn(40, 6, 4)
    with torch.no_grad():
        steps = torch.stack(
            [
                model.recurrent(row[None, :n])[0][0].mean(0)
                for row, n in zip(x, lengths, strict=True)
            ]
        )
    y = (steps[:, 0] > steps[:, 0].median()).long()

    def unpack(batch: Any) -> Any:
        return batch[:2], batch[2]

    data = [(x[:20], lengths[:20], y[:20]), (x[20:], lengths[20:], y[20:])]
    probes = fathom.probe(model, data, data, unpack=unpack)
    assert [each.layer for each in probes] == ["recurrent", "head"]
    assert probes["recurrent"].train_accuracy > 0.9

    moments = moments_of(model, ("recurrent",), x, lengths)
    embedding = fathom.embed(model, data, moments, unpack=unpack)
    mean = moments["recurrent"].mean
    vectors = torch.linalg.eigh(moments["recurrent"].covariance())[1].flip(1)[:, :2]
    expected = ((steps.double() - mean) @ vectors).abs()
    np.testing.assert_allclose(np.abs(embedding.coordinates["recurrent"]), expected, atol=1e-6)

    found = fathom.similarity(
        model, None, [batch[:2] for batch in data], unpack=lambda b: (b, None)
    )
    assert found.rows == ("recurrent", "head")
    assert found["recurrent", "recurrent"] == pytest.approx(1)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_sequences_of_a_transformer_are_read_everywhere() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x = torch.randn(24, 5, 8)
    padding = torch.arange(5) >= torch.randint(2, 6, (24, 1))
    data = [
        {"src": x[part], "src_key_padding_mask": padding[part]}
        for part in (slice(12), slice(12, 24))
    ]
    names = ("layers.0.linear1", "layers.0.self_attn", "layers.1.linear2")
    with fathom.watch(model, layers=names, budget=None) as monitor, torch.no_grad():
        for batch in data:
            model(**batch)
        moments = monitor.moments("eval")
    assert set(moments) == set(names)
    embedding = fathom.embed(model, data, moments)
    assert {each.shape for each in embedding.coordinates.values()} == {(24, 2)}
    found = fathom.similarity(model, None, data)
    assert len(found.rows) == 6
    # What lies at padded positions says nothing.
    other = x.masked_fill(padding[..., None], 3.0)
    others = [
        {**batch, "src": other[part]}
        for batch, part in zip(data, (slice(12), slice(12, 24)), strict=True)
    ]
    np.testing.assert_allclose(
        fathom.similarity(model, None, others).values, found.values, atol=1e-5
    )
    again = fathom.embed(model, others, moments)
    for name in names:
        np.testing.assert_allclose(again.coordinates[name], embedding.coordinates[name], atol=1e-5)


@pytest.mark.parametrize("how", ["whole", "part", "in place"])
def test_compiled_models_are_read_as_they_are(
    how: str, rows: tuple[Tensor, Tensor, Tensor]
) -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.Linear(5, 4)), nn.Linear(4, 2))
    x = rows[0]
    moments = moments_of(model, ("0", "1.0"), x)
    similar = fathom.similarity(model, None, x)
    places = fathom.embed(model, x, moments).coordinates
    if how == "in place":
        model.compile(backend="eager")
    elif how == "part":
        model[1] = torch.compile(model[1], backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    with torch.no_grad():
        model(x)
    found = fathom.similarity(model, None, x)
    assert found.rows == similar.rows == ("0", "1.0", "2")
    assert (found.values == similar.values).all()
    for name, values in fathom.embed(model, x, moments).coordinates.items():
        assert (values == places[name]).all()
