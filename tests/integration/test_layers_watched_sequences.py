"""Recurrent and attention layers end to end, sequence by sequence."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

import fathom
import reference
from comparison import assert_read

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")

LENGTHS = (4, 7, 1, 7, 2, 5)

Make = Callable[..., nn.RNNBase]


def projected(*sizes: int, **options: Any) -> nn.RNNBase:
    return nn.LSTM(*sizes, proj_size=3, **options)


KINDS = [
    pytest.param(nn.RNN, id="RNN"),
    pytest.param(nn.LSTM, id="LSTM"),
    pytest.param(projected, id="LSTM with proj_size"),
    pytest.param(nn.GRU, id="GRU"),
]


def alone(layer: nn.RNNBase, sequence: Tensor, timesteps: str) -> reference.Array:
    """The rows of one sequence (t, features), run without a batch."""
    steps = layer(sequence)[0].detach().numpy()
    return np.asarray(steps[-1:] if timesteps == "last" else steps)


@pytest.mark.parametrize("timesteps", ["all", "last"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("make", KINDS)
def test_every_sequence_of_a_recurrent_layer_counts(
    make: Make, bidirectional: bool, batch_first: bool, timesteps: str
) -> None:
    torch.manual_seed(0)
    layer = make(4, 6, bidirectional=bidirectional, batch_first=batch_first)
    batches = [torch.randn(30, 8, 4), torch.randn(11, 5, 4)]
    rows = np.concatenate([alone(layer, one, timesteps) for batch in batches for one in batch])
    with fathom.watch(layer, timesteps=timesteps, budget=None) as monitor:
        for batch in batches:
            layer(batch if batch_first else batch.transpose(0, 1))
        reading = monitor.snapshot(step=0).train[""]
    assert_read(reading, rows, samples=41)
    assert reading.layer.kind == "recurrent"
    assert reading.layer.width == rows.shape[1]


@pytest.mark.parametrize("timesteps", ["all", "last"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("make", KINDS)
def test_packed_sequences_count_by_their_true_lengths(
    make: Make, bidirectional: bool, batch_first: bool, timesteps: str
) -> None:
    torch.manual_seed(1)
    layer = make(4, 6, bidirectional=bidirectional, batch_first=batch_first)
    padded = torch.randn(len(LENGTHS), max(LENGTHS), 4)
    sequences = [one[:length] for one, length in zip(padded, LENGTHS, strict=True)]
    rows = np.concatenate([alone(layer, one, timesteps) for one in sequences])
    packed = pack_padded_sequence(
        padded if batch_first else padded.transpose(0, 1),
        torch.tensor(LENGTHS),
        batch_first=batch_first,
        enforce_sorted=False,
    )
    with fathom.watch(layer, timesteps=timesteps, budget=None) as monitor:
        layer(packed)
        reading = monitor.snapshot(step=0).train[""]
    assert_read(reading, rows, samples=len(LENGTHS))
    assert reading.rows == (sum(LENGTHS) if timesteps == "all" else len(LENGTHS))


def test_packed_and_padded_calls_pool() -> None:
    torch.manual_seed(2)
    layer = nn.GRU(3, 5)
    sequences = [torch.randn(length, 3) for length in sorted(LENGTHS, reverse=True)]
    batch = torch.randn(6, 9, 3)
    rows = np.concatenate([alone(layer, one, "last") for one in (*sequences, *batch.unbind(1))])
    with fathom.watch(layer, timesteps="last", budget=None) as monitor:
        layer(pack_sequence(sequences))
        layer(batch)
        reading = monitor.snapshot(step=0).train[""]
    assert_read(reading, rows, samples=len(LENGTHS) + 9)
    assert reading.calls == 2


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("timesteps", ["all", "last"])
def test_a_single_sequence_without_a_batch_is_one_sample(timesteps: str, batch_first: bool) -> None:
    torch.manual_seed(3)
    layer = nn.LSTM(3, 4, batch_first=batch_first)
    sequences = torch.randn(9, 6, 3)
    rows = np.concatenate([alone(layer, one, timesteps) for one in sequences])
    with fathom.watch(layer, timesteps=timesteps, budget=None) as monitor:
        for one in sequences:
            layer(one)
        reading = monitor.snapshot(step=0).train[""]
    assert_read(reading, rows, samples=9)


def test_several_levels_of_a_recurrent_layer_show_the_last_one() -> None:
    torch.manual_seed(4)
    layer = nn.LSTM(3, 5, num_layers=3, bidirectional=True, batch_first=True)
    batch = torch.randn(12, 6, 3)
    rows = np.concatenate([alone(layer, one, "all") for one in batch])
    with fathom.watch(layer, budget=None) as monitor:
        layer(batch)
        reading = monitor.snapshot(step=0).train[""]
    assert_read(reading, rows, samples=12)


@pytest.mark.parametrize("timesteps", ["all", "last"])
def test_packed_rows_stop_at_max_samples(timesteps: str) -> None:
    torch.manual_seed(5)
    layer = nn.GRU(3, 4)
    sequences = [torch.randn(length, 3) for length in (6, 5, 3, 1)]
    rows = np.concatenate([alone(layer, one, timesteps) for one in sequences[:3]])
    with fathom.watch(layer, timesteps=timesteps, max_samples=3, budget=None) as monitor:
        layer(pack_sequence(sequences))
        reading = monitor.snapshot(step=0).train[""]
    assert_read(reading, rows, samples=3)


def attention(layer: nn.MultiheadAttention, tokens: reference.Array) -> reference.Array:
    """Self-attention of one sequence (t, d), by the formula, after the output projection."""
    parameters = {name: value.detach().double().numpy() for name, value in layer.named_parameters()}
    inside = tokens @ parameters["in_proj_weight"].T + parameters["in_proj_bias"]
    heads = []
    for queries, keys, values in zip(
        *(np.split(part, layer.num_heads, axis=1) for part in np.split(inside, 3, axis=1)),
        strict=True,
    ):
        scores = np.exp(queries @ keys.T / math.sqrt(queries.shape[1]))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ values)
    joined = np.concatenate(heads, axis=1)
    return np.asarray(joined @ parameters["out_proj.weight"].T + parameters["out_proj.bias"])


class Attending(nn.Module):
    def __init__(self, *, batch_first: bool, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.need_weights = need_weights

    def forward(self, tokens: Tensor) -> Tensor:
        output: Tensor = self.attention(tokens, tokens, tokens, need_weights=self.need_weights)[0]
        return output


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_rows_come_after_the_output_projection(
    batch_first: bool, need_weights: bool
) -> None:
    torch.manual_seed(6)
    model = Attending(batch_first=batch_first, need_weights=need_weights)
    batch = torch.randn(10, 7, 8)
    rows = np.concatenate([attention(model.attention, one.double().numpy()) for one in batch])
    with fathom.watch(model, budget=None) as monitor:
        model(batch if batch_first else batch.transpose(0, 1))
        snapshot = monitor.snapshot(step=0)
    assert list(snapshot.train) == ["attention"]
    assert snapshot.unobserved == ()
    assert_read(snapshot.train["attention"], rows, samples=10)


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_over_a_single_sequence_is_one_sample(batch_first: bool) -> None:
    torch.manual_seed(7)
    model = Attending(batch_first=batch_first, need_weights=False)
    sequences = torch.randn(4, 9, 8)
    rows = np.concatenate([attention(model.attention, one.double().numpy()) for one in sequences])
    with fathom.watch(model, budget=None) as monitor:
        for one in sequences:
            model(one)
        reading = monitor.snapshot(step=0).train["attention"]
    assert_read(reading, rows, samples=4)


def test_the_output_projection_of_attention_is_never_called_and_said_to_be_so() -> None:
    model = Attending(batch_first=True, need_weights=False)
    with fathom.watch(model, layers=["attention", "attention.out_proj"], budget=None) as monitor:
        model(torch.randn(2, 3, 8))
        snapshot = monitor.snapshot(step=0)
    assert list(snapshot.train) == ["attention"]
    assert snapshot.unobserved == ("attention.out_proj",)


@pytest.mark.parametrize("batch_first", [True, False])
def test_every_part_of_a_transformer_counts_sequences_as_samples(batch_first: bool) -> None:
    torch.manual_seed(8)
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
    model = nn.TransformerEncoder(block, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)
    batch = torch.randn(3, 5, 8)
    names = ["layers.0.self_attn", "layers.0.linear1", "layers.1.linear2", "layers.1", "norm", ""]
    with fathom.watch(model, layers=names, budget=None) as monitor:
        output = model(batch if batch_first else batch.transpose(0, 1))
        snapshot = monitor.snapshot(step=0)
    assert {name: reading.rows for name, reading in snapshot.train.items()} == dict.fromkeys(
        names, 15
    )
    assert {name: reading.samples for name, reading in snapshot.train.items()} == dict.fromkeys(
        names, 3
    )
    rows = output.detach().numpy().reshape(-1, 8)
    for name in ("norm", ""):
        assert_read(snapshot.train[name], rows, samples=3)


def test_a_transformer_in_eval_mode_is_read_where_its_fast_path_would_skip_the_layers() -> None:
    torch.manual_seed(9)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(block, 2, enable_nested_tensor=False).eval()
    batch = torch.randn(4, 6, 8)
    with torch.no_grad():
        expected = model(batch)
        with fathom.watch(model, layers=["*", "layers.1"], budget=None) as monitor:
            output = model(batch)
            snapshot = monitor.snapshot(step=0)
    torch.testing.assert_close(output, expected)
    assert snapshot.unobserved == ()
    assert_read(snapshot.eval["layers.1"], output.numpy().reshape(-1, 8), samples=4)
    assert {reading.rows for reading in snapshot.eval.values()} == {24}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_transformer_with_a_padding_mask_runs_on_in_eval_mode() -> None:
    torch.manual_seed(10)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(block, 2).eval()
    batch = torch.randn(3, 5, 8)
    padding = torch.arange(5) >= torch.tensor([[5], [3], [4]])
    with torch.no_grad():
        expected = model(batch, src_key_padding_mask=padding)
        with fathom.watch(model, budget=None) as monitor:
            output = model(batch, src_key_padding_mask=padding)
            snapshot = monitor.snapshot(step=0)
    torch.testing.assert_close(output[~padding], expected[~padding])
    # Nested tensors hold the 12 real tokens alone.
    assert snapshot.unobserved == ()
    assert {reading.rows for reading in snapshot.eval.values()} == {12}
    assert {reading.samples for reading in snapshot.eval.values()} == {3}
