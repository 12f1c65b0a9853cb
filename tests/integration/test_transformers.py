"""Transformers: padded positions do not count, and outputs of every shape are read."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

import fathom
from tiny_transformers import (
    DECODER_MASK,
    MASK,
    B,
    D,
    T,
    assert_rows,
    bart,
    bert,
    gpt2,
    lengths,
    mixtral,
    outputs_of,
    t5,
    tokens,
)

pytestmark = pytest.mark.regime("Transformers")


@pytest.mark.parametrize("make", [gpt2, bert, mixtral])
@pytest.mark.parametrize("mask_type", [torch.long, torch.bool, torch.float32])
def test_padding_does_not_count(make: Callable[[], Any], mask_type: torch.dtype) -> None:
    torch.manual_seed(0)
    model = make().eval()
    ids, mask = tokens(T), MASK.to(mask_type)

    def call() -> object:
        return model(input_ids=ids, attention_mask=mask)

    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        outputs = outputs_of(model, monitor.layers, call)
        readings = monitor.snapshot(0).eval
    assert set(readings) == set(outputs)
    for name, output in outputs.items():
        assert_rows(readings[name], output[MASK.bool()])


@pytest.mark.parametrize("make", [t5, bart])
@pytest.mark.parametrize("decoder_steps", [D, T])
def test_each_side_of_an_encoder_and_decoder_has_its_own_mask(
    make: Callable[[], Any], decoder_steps: int
) -> None:
    torch.manual_seed(1)
    model = make().eval()
    ids, decoder_ids = tokens(T), tokens(decoder_steps)
    decoder_mask = DECODER_MASK if decoder_steps == D else lengths(1, 2, 9, 4, 5, longest=T)

    def call() -> object:
        return model(
            input_ids=ids,
            attention_mask=MASK,
            decoder_input_ids=decoder_ids,
            decoder_attention_mask=decoder_mask,
        )

    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        outputs = outputs_of(model, monitor.layers, call)
        readings = monitor.snapshot(0).eval
    crossing = 0
    for name, output in outputs.items():
        *_, parent, last = f".{name}".split(".")
        keys = parent in {"EncDecAttention", "encoder_attn"} and last[0] in "kv"
        crossing += keys
        of_encoder = ".encoder." in f".{name}" or keys
        assert_rows(readings[name], output[(MASK if of_encoder else decoder_mask).bool()])
    assert crossing > 0


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
def test_torchs_own_encoder_with_a_padding_mask(batch_first: bool, training: bool) -> None:
    torch.manual_seed(9)
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
    model = nn.TransformerEncoder(block, 2).train(training)
    batch = torch.randn(B, T, 8)
    with (
        fathom.watch(model, layers=["layers.0.linear1", "layers.?"], budget=None) as monitor,
        torch.no_grad(),
    ):
        model(batch if batch_first else batch.transpose(0, 1), src_key_padding_mask=~MASK.bool())
        snapshot = monitor.snapshot(0)
    readings = snapshot.train if training else snapshot.eval
    assert {name: each.rows for name, each in readings.items()} == dict.fromkeys(
        ["layers.0.linear1", "layers.0", "layers.1"], int(MASK.sum())
    )
    assert {each.samples for each in readings.values()} == {B}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_padding_does_not_count_in_a_compiled_model(backend: str) -> None:
    torch._dynamo.reset()
    torch.manual_seed(10)
    model = bert().eval()
    ids = tokens(T)
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        compiled: Any = torch.compile(model, fullgraph=True, backend=backend)
        for mask in (MASK, MASK.flip(0)):
            compiled(input_ids=ids, attention_mask=mask)
        readings = monitor.snapshot(0).eval
    assert {reading.rows for reading in readings.values()} == {2 * int(MASK.sum())}
    name = "bert.encoder.layer.1.output.dense"
    rows = []
    with torch.no_grad():
        for mask in (MASK, MASK.flip(0)):
            call = partial(model, input_ids=ids, attention_mask=mask)
            rows.append(outputs_of(model, [name], call)[name][mask.bool()])
    assert_rows(readings[name], torch.cat(rows), samples=2 * B)
    torch._dynamo.reset()


def test_a_vision_transformer_counts_every_patch() -> None:
    torch.manual_seed(11)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=16, patch_size=4,
    )  # fmt: skip
    model: Any = transformers.ViTModel(config)
    model.eval()
    images = torch.randn(3, 3, 16, 16)
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        model(pixel_values=images)
        snapshot = monitor.snapshot(0)
    assert snapshot.unobserved == ()
    rows = {name: each.rows for name, each in snapshot.eval.items()}
    assert rows.pop("embeddings.patch_embeddings.projection") == 3 * 16
    assert rows.pop("pooler.dense") == 3
    assert set(rows.values()) == {3 * 17}


def test_residual_streams_and_whole_models_are_read_by_the_stated_rule() -> None:
    torch.manual_seed(12)
    model = gpt2().eval()
    ids = tokens(T)
    with fathom.watch(model, layers=["transformer.h.?", "transformer", ""], budget=None) as monitor:
        with torch.no_grad():
            output = model(input_ids=ids, attention_mask=MASK, output_hidden_states=True)
        readings = monitor.snapshot(0).eval
    assert_rows(readings["transformer.h.0"], output.hidden_states[1][MASK.bool()])
    assert_rows(readings["transformer"], output.hidden_states[-1][MASK.bool()])
    assert_rows(readings[""], output.logits[MASK.bool()])


class Pair(nn.Module):
    """Returns two tensors in a dict, neither under a name that fathom knows."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"first": x, "second": -x[..., :2]}


def test_an_output_is_picked_by_a_function_of_the_users_own() -> None:
    torch.manual_seed(13)
    model = nn.Sequential(nn.Linear(3, 4), Pair())
    batch = torch.randn(B, T, 3)
    for outputs, width in (({}, 4), ({"1": lambda output: output["second"]}, 2)):
        for call in (model, torch.compile(model, fullgraph=True, backend="eager")):
            torch._dynamo.reset()
            with fathom.watch(model, layers=["1"], outputs=outputs, budget=None) as monitor:
                call(batch)
                assert monitor.snapshot(0).train["1"].width == width


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"nowhere": lambda output: output}, "outputs must name watched layers, got 'nowhere'"),
        ({"0": 3}, "outputs must give a function for '0', got 3"),
    ],
)
def test_outputs_that_cannot_be_are_refused(outputs: Any, message: str) -> None:
    with pytest.raises(fathom.LayerSelectionError, match=message):
        fathom.watch(nn.Sequential(nn.Linear(3, 4)), outputs=outputs, budget=None)


def test_experts_without_tokens_add_nothing() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(3, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            choice = torch.arange(len(x)) % 2
            return torch.cat([expert(x[choice == n]) for n, expert in enumerate(self.experts)])

    model = Experts()
    with fathom.watch(model, budget=None) as monitor:
        model(torch.randn(10, 3))
        snapshot = monitor.snapshot(0)
    assert [snapshot.train[f"experts.{n}"].rows for n in range(3)] == [5, 5, 0]
    assert np.isnan(snapshot.train["experts.2"].saturation)
    assert np.isfinite(snapshot.average_saturation("train"))
