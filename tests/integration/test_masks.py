"""Masks of padding: which are used unasked, for how long, and by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
from tiny_transformers import (
    MASK,
    B,
    T,
    all_linear,
    assert_rows,
    bart,
    bert,
    gpt2,
    lengths,
    outputs_of,
    t5,
    tokens,
)

pytestmark = pytest.mark.regime("Transformers")


def test_a_mask_in_place_counts_like_one_by_name() -> None:
    torch.manual_seed(2)
    model = bert().eval()
    with (
        fathom.watch(model, layers=["bert.encoder.layer.1"], budget=None) as monitor,
        torch.no_grad(),
    ):
        model(tokens(T), MASK)
        assert monitor.snapshot(0).eval["bert.encoder.layer.1"].rows == int(MASK.sum())


def test_a_mask_holds_for_one_call_and_no_mask_means_all() -> None:
    torch.manual_seed(3)
    model = bert().eval()
    with (
        fathom.watch(model, layers=["bert.encoder.layer.1"], budget=None) as monitor,
        torch.no_grad(),
    ):
        model(input_ids=tokens(T), attention_mask=MASK)
        model(input_ids=tokens(T))
        model.bert.encoder.layer[1](torch.randn(B, T, 16))
        reading = monitor.snapshot(0).eval["bert.encoder.layer.1"]
    assert reading.rows == int(MASK.sum()) + 2 * B * T


def test_a_mask_of_who_attends_to_whom_is_no_mask_of_padding() -> None:
    torch.manual_seed(4)
    model = bert().eval()
    with (
        fathom.watch(model, layers=["bert.encoder.layer.1"], budget=None) as monitor,
        torch.no_grad(),
    ):
        model(input_ids=tokens(T), attention_mask=MASK[:, None, None].expand(B, 1, T, T).float())
        assert monitor.snapshot(0).eval["bert.encoder.layer.1"].rows == B * T


def test_a_mask_by_hand_holds_for_the_next_call() -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
    batch = torch.randn(B, T, 3)
    expected = model[0](batch).detach()[MASK.bool()]
    with fathom.watch(model, budget=None) as monitor:
        monitor.mask(MASK)
        model(batch)
        assert_rows(monitor.snapshot(0).train["0"], expected)
        model(batch)
        assert monitor.snapshot(1).train["0"].rows == B * T
        with pytest.raises(fathom.ArgumentError, match=r"mask must be .*, got \(9,\)"):
            monitor.mask(MASK[0])


def test_a_mask_by_hand_reaches_recurrent_layers() -> None:
    torch.manual_seed(6)
    model = nn.GRU(3, 4)
    batch = torch.randn(T, B, 3)
    for timesteps, real in (("all", MASK.bool()), ("last", MASK.cumsum(1) == MASK.sum(1)[:, None])):
        with fathom.watch(model, timesteps=timesteps, budget=None) as monitor:
            monitor.mask(MASK)
            output = model(batch)[0].detach().transpose(0, 1)
            assert_rows(monitor.snapshot(0).train[""], output[real & MASK.bool()])


def test_flattened_tokens_have_their_mask_too() -> None:
    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(3, 4)

        def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
            return self.gate(x.reshape(-1, 3))  # type: ignore[no-any-return]

    torch.manual_seed(7)
    model, batch = Router(), torch.randn(B, T, 3)
    with fathom.watch(model, budget=None) as monitor:
        model(batch, attention_mask=MASK)
        reading = monitor.snapshot(0).train["gate"]
    assert_rows(reading, model.gate(batch[MASK.bool()]).detach(), samples=B * T)


def test_max_samples_takes_sequences_with_their_masks() -> None:
    torch.manual_seed(8)
    model, batch = nn.Sequential(nn.Linear(3, 4)), torch.randn(B, T, 3)
    with fathom.watch(model, max_samples=2, budget=None) as monitor:
        monitor.mask(MASK)
        model(batch)
        reading = monitor.snapshot(0).train["0"]
    assert_rows(reading, model(batch).detach()[:2][MASK[:2].bool()], samples=2)


class LanguageModel(nn.Module):
    """One side, whose embedding is called encoder and whose head is called decoder."""

    def __init__(self, *, batch_first: bool = True) -> None:
        super().__init__()
        self.encoder = nn.Embedding(99, 8)
        self.project = nn.Linear(8, 8)
        block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
        self.transformer_encoder = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.decoder = nn.Linear(8, 99)

    def forward(self, ids: Tensor, src_key_padding_mask: Tensor | None = None) -> Tensor:
        x = self.project(self.encoder(ids))
        x = self.transformer_encoder(x, src_key_padding_mask=src_key_padding_mask)
        return self.decoder(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("steps", [T, B])
def test_a_model_of_one_side_has_one_mask_whatever_its_parts_are_called(
    batch_first: bool, steps: int
) -> None:
    torch.manual_seed(14)
    model, ids = LanguageModel(batch_first=batch_first), tokens(steps)
    mask = MASK if steps == T else lengths(5, 1, 3, 2, 5, longest=B)

    def call() -> object:
        return model(ids if batch_first else ids.T, src_key_padding_mask=~mask.bool())

    with fathom.watch(model, budget=None) as monitor:
        outputs = outputs_of(model, ["project", "decoder"], call)
        readings = monitor.snapshot(0).train
    for name, output in outputs.items():
        positions = output if batch_first else output.transpose(0, 1)
        assert_rows(readings[name], positions[mask.bool()])
    assert {each.rows for each in readings.values()} == {int(mask.sum())}


def test_layers_before_the_encoder_of_a_pair_have_its_mask() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.src_proj, self.tgt_proj = nn.Linear(3, 8), nn.Linear(3, 8)
            self.transformer = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, src: Tensor, tgt: Tensor, **masks: Tensor) -> Tensor:
            masks["memory_key_padding_mask"] = masks["src_key_padding_mask"]
            x = self.transformer(self.src_proj(src), self.tgt_proj(tgt), **masks)
            return self.head(x)  # type: ignore[no-any-return]

    torch.manual_seed(15)
    model, other = Pair(), lengths(1, 2, 9, 4, 5, longest=T)
    with fathom.watch(model, layers=["*proj", "head"], budget=None) as monitor:
        model(
            torch.randn(B, T, 3),
            torch.randn(B, T, 3),
            src_key_padding_mask=~MASK.bool(),
            tgt_key_padding_mask=~other.bool(),
        )
        rows = {name: each.rows for name, each in monitor.snapshot(0).train.items()}
    assert rows == {
        "src_proj": int(MASK.sum()), "tgt_proj": int(other.sum()), "head": int(other.sum())
    }  # fmt: skip


def test_a_mask_by_hand_holds_for_one_call_of_a_compiled_model_too() -> None:
    torch._dynamo.reset()
    torch.manual_seed(16)
    model, batch = nn.Sequential(nn.Linear(3, 4)), torch.randn(B, T, 3)
    with fathom.watch(model, budget=None) as monitor:
        compiled: Any = torch.compile(model, fullgraph=True, backend="eager")
        monitor.mask(MASK)
        compiled(batch)
        assert monitor.snapshot(0).train["0"].rows == int(MASK.sum())
        compiled(batch)
        assert monitor.snapshot(1).train["0"].rows == B * T
    torch._dynamo.reset()


def test_a_call_that_fails_leaves_no_mask_behind() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, x: Tensor, attention_mask: Tensor) -> None:
            self.layer(x)
            raise ZeroDivisionError

    model, batch = Failing(), torch.randn(B, T, 3)
    with fathom.watch(model, budget=None) as monitor:
        with pytest.raises(ZeroDivisionError):
            model(batch, attention_mask=MASK)
        assert monitor.snapshot(0).train["layer"].padded == B * T - int(MASK.sum())
        model.layer(batch)
        assert monitor.snapshot(1).train["layer"].rows == B * T


@pytest.mark.parametrize("mask", [np.ones((2, 3)), [[1, 0]], None])
def test_a_mask_by_hand_must_be_a_tensor(mask: Any) -> None:
    monitor = fathom.watch(nn.Linear(3, 4), budget=None)
    with monitor, pytest.raises(fathom.ArgumentError, match="mask must be a tensor"):
        monitor.mask(mask)


@pytest.mark.parametrize("crosses", [False, True])
def test_a_mask_of_keys_is_that_of_queries_only_where_a_sequence_attends_to_itself(
    crosses: bool,
) -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    queries, others = torch.randn(3, 5, 8), torch.randn(3, 5, 8)
    padding = torch.arange(5) >= torch.tensor([[5], [3], [1]])
    keys = others if crosses else queries
    with fathom.watch(attention, budget=None) as monitor:
        attention(queries, keys, keys, key_padding_mask=padding)
        reading = monitor.snapshot(step=0).train[""]
    assert (reading.rows, reading.padded) == ((15, 0) if crosses else (9, 6))


@pytest.mark.parametrize("make", [t5, bart])
def test_generation_uses_the_mask_of_its_prompt(make: Callable[[], Any]) -> None:
    torch.manual_seed(5)
    model = make().eval()
    # Of a bidirectional encoder, so it gives the same outputs however it is called.
    name = next(each for each, _ in model.named_modules() if each.endswith("encoder"))
    inside = [each for each, _ in all_linear(model) if each.startswith(f"{name}.")]
    ids = tokens(T)
    with torch.no_grad():
        outputs = outputs_of(
            model, inside, lambda: model.get_submodule(name)(ids, attention_mask=MASK)
        )
        with fathom.watch(model, budget=None) as monitor:
            model.generate(ids, attention_mask=MASK, max_new_tokens=3, decoder_start_token_id=0)
            generated = monitor.snapshot(0).eval
            model.get_submodule(name)(ids, attention_mask=MASK)
            alone = monitor.snapshot(1).eval
    assert set(alone) == set(inside)
    for each in inside:
        assert_rows(generated[each], outputs[each][MASK.bool()])
        assert_rows(alone[each], outputs[each][MASK.bool()])


@pytest.mark.parametrize("make", [gpt2, bert])
def test_the_model_below_a_head_may_be_called_with_a_mask(make: Callable[[], Any]) -> None:
    torch.manual_seed(6)
    model = make().eval()
    body, ids = model.base_model, tokens(T)
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        for _ in range(2):
            body(ids, attention_mask=MASK)
        model(ids)
        body(ids)
        with pytest.raises(AttributeError):
            body("no tokens", attention_mask=MASK)
        body(ids)
        readings = monitor.snapshot(0).eval
    real, whole = int(MASK.sum()), MASK.numel()
    for name, reading in readings.items():
        below = name.startswith(model.base_model_prefix)
        assert reading.rows == (2 * real + 3 * whole if below else whole), name


class Wrapper(nn.Module):
    """Passes all arguments on, as a module of a trainer or of adapters does."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, **arguments: Any) -> Any:
        return self.inside(**arguments)


@pytest.mark.parametrize("make", [t5, bart])
@pytest.mark.parametrize("wrappers", [1, 2])
def test_an_encoder_and_a_decoder_inside_a_wrapper_have_their_own_masks(
    make: Callable[[], Any], wrappers: int
) -> None:
    torch.manual_seed(7)
    model: Any = make().eval()
    plain = model
    for _ in range(wrappers):
        model = Wrapper(model)
    path = "inside." * wrappers
    model.eval()
    # As long as the encoder's sequence: only the side tells the masks apart.
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        model(input_ids=tokens(T), attention_mask=MASK, decoder_input_ids=tokens(T))
        readings = monitor.snapshot(0).eval
        plain.generate(tokens(T), attention_mask=MASK, max_new_tokens=2, decoder_start_token_id=0)
        generated = monitor.snapshot(1).eval
        plain(input_ids=tokens(T), attention_mask=MASK, decoder_input_ids=tokens(T))
        inside = monitor.snapshot(2).eval
    assert {name: reading.rows for name, reading in inside.items()} == {
        name: reading.rows for name, reading in readings.items()
    }
    real, whole = int(MASK.sum()), MASK.numel()
    rows = {name.removeprefix(path): reading.rows for name, reading in readings.items()}
    assert rows["lm_head"] == whole
    for name, count in rows.items():
        if ".encoder." in f".{name}":
            assert count == real, name
            assert generated[path + name].rows == real, name
        elif "q_proj" in name and "self_attn" in name:
            assert count == whole, name
