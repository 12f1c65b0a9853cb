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
import reference

SMALL: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
B, T, D = 5, 9, 6  # sequences, their steps, the decoder's steps


def lengths(*steps: int, longest: int) -> Tensor:
    """(b, t) of 1 at the first so many steps of each sequence."""
    return (torch.arange(longest) < torch.tensor(steps)[:, None]).long()


MASK = lengths(9, 4, 7, 1, 9, longest=T)
DECODER_MASK = lengths(6, 6, 2, 3, 1, longest=D)


def tokens(steps: int) -> Tensor:
    return torch.randint(1, 99, (B, steps))


def gpt2() -> Any:
    ends: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}
    config = transformers.GPT2Config(vocab_size=99, n_embd=16, n_layer=2, n_head=2, **ends)
    return transformers.GPT2LMHeadModel(config)


def bert() -> Any:
    return transformers.BertForMaskedLM(transformers.BertConfig(**SMALL))


def mixtral() -> Any:
    config = transformers.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4)
    return transformers.MixtralForCausalLM(config)


def t5() -> Any:
    config = transformers.T5Config(
        vocab_size=99, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    return transformers.T5ForConditionalGeneration(config)


def bart() -> Any:
    config = transformers.BartConfig(
        vocab_size=99, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32,
        decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2,
        bos_token_id=0, eos_token_id=0, pad_token_id=0, decoder_start_token_id=0,
        forced_eos_token_id=None,
    )  # fmt: skip
    return transformers.BartForConditionalGeneration(config)


def outputs_of(model: nn.Module, names: list[str], call: Callable[[], object]) -> dict[str, Tensor]:
    """What the layers return in one call, by hooks of the test's own."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found[name] = (output if isinstance(output, Tensor) else output[0]).detach().clone()

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    call()
    for handle in handles:
        handle.remove()
    return found


def assert_rows(reading: fathom.Reading, rows: Tensor, *, samples: int = B) -> None:
    assert reading.rows == len(rows)
    assert reading.samples == samples
    expected = reference.eigenvalues(rows.double().numpy())
    np.testing.assert_allclose(reading.eigenvalues, expected, rtol=1e-4, atol=1e-6 * expected[0])


@pytest.mark.parametrize("make", [gpt2, bert, mixtral])
@pytest.mark.parametrize("mask_type", [torch.long, torch.bool, torch.float32])
def test_padding_does_not_count(make: Callable[[], Any], mask_type: torch.dtype) -> None:
    torch.manual_seed(0)
    model = make().eval()
    ids, mask = tokens(T), MASK.to(mask_type)

    def call() -> object:
        return model(input_ids=ids, attention_mask=mask)

    with fathom.watch(model) as monitor, torch.no_grad():
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

    with fathom.watch(model) as monitor, torch.no_grad():
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


def test_a_mask_in_place_counts_like_one_by_name() -> None:
    torch.manual_seed(2)
    model = bert().eval()
    with fathom.watch(model, layers=["bert.encoder.layer.1"]) as monitor, torch.no_grad():
        model(tokens(T), MASK)
        assert monitor.snapshot(0).eval["bert.encoder.layer.1"].rows == int(MASK.sum())


def test_a_mask_holds_for_one_call_and_no_mask_means_all() -> None:
    torch.manual_seed(3)
    model = bert().eval()
    with fathom.watch(model, layers=["bert.encoder.layer.1"]) as monitor, torch.no_grad():
        model(input_ids=tokens(T), attention_mask=MASK)
        model(input_ids=tokens(T))
        model.bert.encoder.layer[1](torch.randn(B, T, 16))
        reading = monitor.snapshot(0).eval["bert.encoder.layer.1"]
    assert reading.rows == int(MASK.sum()) + 2 * B * T


def test_a_mask_of_who_attends_to_whom_is_no_mask_of_padding() -> None:
    torch.manual_seed(4)
    model = bert().eval()
    with fathom.watch(model, layers=["bert.encoder.layer.1"]) as monitor, torch.no_grad():
        model(input_ids=tokens(T), attention_mask=MASK[:, None, None].expand(B, 1, T, T).float())
        assert monitor.snapshot(0).eval["bert.encoder.layer.1"].rows == B * T


def test_a_mask_by_hand_holds_for_the_next_call() -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
    batch = torch.randn(B, T, 3)
    expected = model[0](batch).detach()[MASK.bool()]
    with fathom.watch(model) as monitor:
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
        with fathom.watch(model, timesteps=timesteps) as monitor:
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
    with fathom.watch(model) as monitor:
        model(batch, attention_mask=MASK)
        reading = monitor.snapshot(0).train["gate"]
    assert_rows(reading, model.gate(batch[MASK.bool()]).detach(), samples=B * T)


def test_max_samples_takes_sequences_with_their_masks() -> None:
    torch.manual_seed(8)
    model, batch = nn.Sequential(nn.Linear(3, 4)), torch.randn(B, T, 3)
    with fathom.watch(model, max_samples=2) as monitor:
        monitor.mask(MASK)
        model(batch)
        reading = monitor.snapshot(0).train["0"]
    assert_rows(reading, model(batch).detach()[:2][MASK[:2].bool()], samples=2)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
def test_torchs_own_encoder_with_a_padding_mask(batch_first: bool, training: bool) -> None:
    torch.manual_seed(9)
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
    model = nn.TransformerEncoder(block, 2).train(training)
    batch = torch.randn(B, T, 8)
    with fathom.watch(model, layers=["layers.0.linear1", "layers.?"]) as monitor, torch.no_grad():
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
    with fathom.watch(model) as monitor, torch.no_grad():
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
    with fathom.watch(model) as monitor, torch.no_grad():
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
    with fathom.watch(model, layers=["transformer.h.?", "transformer", ""]) as monitor:
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
            with fathom.watch(model, layers=["1"], outputs=outputs) as monitor:
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
        fathom.watch(nn.Sequential(nn.Linear(3, 4)), outputs=outputs)


def test_experts_without_tokens_add_nothing() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(3, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            choice = torch.arange(len(x)) % 2
            return torch.cat([expert(x[choice == n]) for n, expert in enumerate(self.experts)])

    model = Experts()
    with fathom.watch(model) as monitor:
        model(torch.randn(10, 3))
        snapshot = monitor.snapshot(0)
    assert [snapshot.train[f"experts.{n}"].rows for n in range(3)] == [5, 5, 0]
    assert np.isnan(snapshot.train["experts.2"].saturation)
    assert np.isfinite(snapshot.average_saturation("train"))


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

    with fathom.watch(model) as monitor:
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
    with fathom.watch(model, layers=["*proj", "head"]) as monitor:
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
    with fathom.watch(model) as monitor:
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
    with fathom.watch(model) as monitor:
        with pytest.raises(ZeroDivisionError):
            model(batch, attention_mask=MASK)
        assert monitor.snapshot(0).train["layer"].padded == B * T - int(MASK.sum())
        model.layer(batch)
        assert monitor.snapshot(1).train["layer"].rows == B * T


@pytest.mark.parametrize("mask", [np.ones((2, 3)), [[1, 0]], None])
def test_a_mask_by_hand_must_be_a_tensor(mask: Any) -> None:
    monitor = fathom.watch(nn.Linear(3, 4))
    with monitor, pytest.raises(fathom.ArgumentError, match="mask must be a tensor"):
        monitor.mask(mask)
