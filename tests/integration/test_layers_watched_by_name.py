"""Layers that are watched when they are named, shared modules, and other people's layers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

import fathom
import reference
from comparison import assert_read


def read(model: nn.Module, layer: str, *inputs: Tensor, **options: Any) -> fathom.Reading:
    """The reading of one named layer after some calls in train mode."""
    with fathom.watch(model, layers=[layer], **options, budget=None) as monitor:
        for each in inputs:
            model(each)
        snapshot = monitor.snapshot(step=0)
    assert list(snapshot.train) == [layer]
    assert snapshot.disabled == {}
    return snapshot.train[layer]


def positions(maps: Tensor) -> reference.Array:
    array = maps.detach().double().numpy()
    return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])


NORMS_AND_TABLES = [
    pytest.param(nn.LayerNorm(7), "normalisation", id="LayerNorm"),
    pytest.param(nn.RMSNorm(7), "normalisation", id="RMSNorm"),
    pytest.param(nn.Embedding(20, 7), "embedding", id="Embedding"),
]


@pytest.mark.parametrize(("layer", "kind"), NORMS_AND_TABLES)
def test_a_layer_with_features_last_is_read_when_named(layer: nn.Module, kind: str) -> None:
    torch.manual_seed(0)
    tokens = torch.randint(20, (12, 9))
    inputs = tokens if isinstance(layer, nn.Embedding) else torch.randn(12, 9, 7)
    rows = layer(inputs).detach().numpy().reshape(-1, 7)
    model = nn.Sequential(layer, nn.Linear(7, 2))
    reading = read(model, "0", inputs)
    assert_read(reading, rows, samples=12)
    assert reading.layer.kind == kind
    with fathom.watch(model, budget=None) as monitor:
        assert monitor.layers == ["1"]


def test_an_embedding_of_a_single_sequence_without_a_batch() -> None:
    torch.manual_seed(1)
    layer = nn.Embedding(11, 4)
    tokens = torch.randint(11, (30,))
    assert_read(read(layer, "", tokens), layer(tokens).detach().numpy(), samples=30)


@pytest.mark.parametrize(
    ("layer", "space"),
    [
        pytest.param(nn.BatchNorm1d(5), (), id="BatchNorm1d of vectors"),
        pytest.param(nn.BatchNorm1d(5), (6,), id="BatchNorm1d of sequences"),
        pytest.param(nn.BatchNorm2d(5), (4, 3), id="BatchNorm2d"),
        pytest.param(nn.BatchNorm3d(5), (2, 3, 2), id="BatchNorm3d"),
        pytest.param(nn.GroupNorm(1, 5), (4, 3), id="GroupNorm"),
        pytest.param(nn.InstanceNorm2d(5), (4, 3), id="InstanceNorm2d"),
    ],
)
def test_a_norm_over_channels_is_read_as_a_feature_map(
    layer: nn.Module, space: tuple[int, ...]
) -> None:
    torch.manual_seed(2)
    inputs = torch.randn(16, 5, *space) * torch.arange(1, 6).reshape(1, 5, *[1] * len(space))
    rows = positions(layer(inputs))
    assert_read(read(nn.Sequential(layer), "0", inputs), rows, samples=16)


def test_batch_norm_rows_in_flatten_are_whole_maps() -> None:
    torch.manual_seed(3)
    layer = nn.BatchNorm2d(3)
    inputs = torch.randn(30, 3, 2, 2)
    rows = layer(inputs).detach().numpy().reshape(30, 12)
    assert_read(read(nn.Sequential(layer), "0", inputs, conv="flatten"), rows, samples=30)


class Mixer(nn.Module):
    """A block of no kind that fathom knows, with tokens (b, t, d) as its output."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(6, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed: Tensor = tokens + self.inside(tokens).tanh().cumsum(1)
        return mixed


class FirstOfTwo(Mixer):
    """The same with a tuple as its output."""

    def forward(self, tokens: Tensor) -> tuple[Tensor, str]:  # type: ignore[override]
        return super().forward(tokens), "and something else"


@pytest.mark.parametrize("block", [Mixer(), FirstOfTwo()])
def test_any_other_module_is_read_by_its_name(block: nn.Module) -> None:
    torch.manual_seed(4)
    tokens = torch.randn(8, 5, 6)
    output = block(tokens)
    rows = (output if isinstance(output, Tensor) else output[0]).detach().numpy().reshape(-1, 6)
    reading = read(nn.Sequential(block), "0", tokens)
    assert_read(reading, rows, samples=8)
    assert reading.layer.kind == "other"


def test_the_cells_of_a_hand_written_loop_are_read_by_name() -> None:
    torch.manual_seed(5)
    cell = nn.LSTMCell(3, 4)
    steps = torch.randn(6, 10, 3)
    rows = np.concatenate([cell(step)[0].detach().numpy() for step in steps])
    assert_read(read(nn.Sequential(cell), "0", *steps), rows, samples=60)


def test_whole_numbers_are_read_too() -> None:
    class Quantised(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 10).to(torch.int8)

    torch.manual_seed(6)
    inputs = torch.randn(50, 4)
    rows = (inputs * 10).to(torch.int8).numpy().astype(np.float64)
    assert_read(read(nn.Sequential(Quantised()), "0", inputs), rows, samples=50)


class Tied(nn.Module):
    """One module under two names, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6)
        self.head = nn.Linear(6, 2)
        self.decode = self.encode

    def forward(self, x: Tensor) -> Tensor:
        classes: Tensor = self.head(self.decode(self.encode(x).relu()))
        return classes


@pytest.mark.parametrize("layers", [None, ["decode", "head"], ["*code", "head"], ["encode", "h*"]])
def test_a_shared_module_is_one_layer_with_its_rows_pooled(layers: list[str] | None) -> None:
    torch.manual_seed(7)
    model = Tied()
    batches = [torch.randn(20, 6), torch.randn(13, 6)]
    rows: list[reference.Array] = []
    for batch in batches:
        hidden = model.encode(batch)
        rows += [hidden.detach().numpy(), model.encode(hidden.relu()).detach().numpy()]
    with fathom.watch(model, layers=layers, budget=None) as monitor:
        for batch in batches:
            model(batch)
        snapshot = monitor.snapshot(step=0)
    assert list(snapshot.train) == ["encode", "head"]
    reading = snapshot.train["encode"]
    assert reading.layer.aliases == ("decode",)
    assert reading.calls == 4
    assert_read(reading, np.concatenate(rows), samples=66)
    assert snapshot.train["head"].calls == 2


def test_a_module_called_several_times_in_one_step_counts_every_call() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.step(x).tanh()
            return x

    torch.manual_seed(8)
    model, x = Loop(), torch.randn(15, 4)
    rows = []
    hidden = x
    for _ in range(3):
        rows.append(model.step(hidden).detach().numpy())
        hidden = torch.from_numpy(rows[-1]).tanh()
    reading = read(model, "step", x)
    assert_read(reading, np.concatenate(rows), samples=45)
    assert reading.calls == 3


def test_the_transposed_linear_layer_of_hugging_face() -> None:
    torch.manual_seed(9)
    make: Any = Conv1D
    layer = make(nf=7, nx=4)
    tokens = torch.randn(6, 5, 4)
    rows = layer(tokens).detach().numpy().reshape(-1, 7)
    reading = read(nn.Sequential(layer), "0", tokens, conv="mean")
    assert_read(reading, rows, samples=6)
    assert reading.layer.kind == "linear"
    assert reading.layer.width == 7


def test_every_layer_of_gpt2_is_found_and_observed() -> None:
    torch.manual_seed(10)
    config = GPT2Config(vocab_size=31, n_positions=16, n_embd=8, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(config)
    nn.Module.eval(model)
    tokens = torch.randint(31, (5, 12))
    with fathom.watch(model, budget=None) as monitor:
        model(tokens)
        snapshot = monitor.snapshot(step=0)
    parts = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    expected = [f"transformer.h.{block}.{part}" for block in (0, 1) for part in parts]
    assert list(snapshot.eval) == [*expected, "lm_head"]
    assert snapshot.unobserved == ()
    assert snapshot.output_layer == "lm_head"
    assert {reading.rows for reading in snapshot.eval.values()} == {60}
    assert {reading.samples for reading in snapshot.eval.values()} == {5}
    hidden = model.transformer(tokens).last_hidden_state
    rows = model.lm_head(hidden).detach().numpy().reshape(-1, 31)
    assert_read(snapshot.eval["lm_head"], rows, samples=5)
