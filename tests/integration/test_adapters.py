"""Adapters of peft: the layers beneath, the adapters and what they add up to are read exactly."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import Tensor, nn

import fathom
from comparison import assert_read

pytestmark = [
    pytest.mark.regime("Copies and wrappers"),
    # Of peft, which asks a new release of transformers in the old way.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

B, T = 5, 9


def gpt2() -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=99, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


def bert() -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, pad_token_id=0,
    )  # fmt: skip
    return transformers.BertForMaskedLM(config)


def adapted(model: Any, *, training: bool = True) -> Any:
    """Adapt the query and value of BERT, or all three of GPT-2 in their one transposed layer."""
    config = peft.LoraConfig(
        r=3,
        target_modules=["c_attn", "query", "value"],
        fan_in_fan_out=isinstance(model, transformers.GPT2LMHeadModel),
        lora_dropout=0.2,
        init_lora_weights=False,
    )
    # What peft adds is in train mode, whatever the model is in.
    return peft.get_peft_model(model, config).train(training)


def inputs() -> dict[str, Tensor]:
    mask = torch.arange(T) < torch.tensor([9, 4, 7, 1, 9])[:, None]
    return {"input_ids": torch.randint(1, 99, (B, T)), "attention_mask": mask.long()}


def outputs_of(model: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """The last output of each layer, once it was called, by hooks of the test's own."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, args, output: found.update({name: output.detach()})

    for name in names:
        model.get_submodule(name).register_forward_hook(keep(name))
    return found


def assert_tokens_read(reading: fathom.Reading, output: Tensor, mask: Tensor) -> None:
    assert_read(reading, output[mask.bool()].double().cpu().numpy(), samples=B)
    assert reading.padded == mask.numel() - reading.rows


MAKES = pytest.mark.parametrize("make", [gpt2, bert])
Make = Callable[[], Any]


@MAKES
def test_a_model_watched_before_it_is_adapted_is_read_under_its_old_names(make: Make) -> None:
    model, batch = make(), inputs()
    with fathom.watch(model, budget=None) as monitor:
        names = monitor.layers
        found = outputs_of(model, names)
        whole = adapted(model)
        whole(**batch).logits.sum().backward()
        snapshot = monitor.snapshot(0)
    assert list(snapshot.train) == names
    assert snapshot.unobserved == ()
    for name, output in found.items():
        assert_tokens_read(snapshot.train[name], output, batch["attention_mask"])


@MAKES
@pytest.mark.parametrize("part", ["whole", "inside"])
def test_a_model_watched_after_it_is_adapted_shows_its_adapters(make: Make, part: str) -> None:
    whole, batch = adapted(make()), inputs()
    root = whole if part == "whole" else whole.base_model.model
    wrapped = [
        name for name, module in root.named_modules() if isinstance(module, peft.tuners.lora.Linear)
    ]
    assert wrapped
    with fathom.watch(root, layers=["*", *wrapped], budget=None) as monitor:
        found = outputs_of(root, monitor.layers)
        whole(**batch).logits.sum().backward()
        snapshot = monitor.snapshot(0)
    assert snapshot.unobserved == ()
    for name, output in found.items():
        assert_tokens_read(snapshot.train[name], output, batch["attention_mask"])
    for name in wrapped:
        inside = [f"{name}.{each}" for each in ("base_layer", "lora_A.default", "lora_B.default")]
        assert {snapshot.train[each].layer.kind for each in inside} == {"linear"}
        assert [snapshot.train[each].width for each in inside[1:]] == [3, found[name].shape[-1]]


@MAKES
def test_merged_or_disabled_adapters_are_told_as_unobserved(make: Make) -> None:
    whole, batch = adapted(make(), training=False), inputs()
    names = [name for name, _ in whole.named_modules()]
    adapters = tuple(name for name in names if name.endswith(("lora_A.default", "lora_B.default")))
    wrapped = [name.removesuffix(".base_layer") for name in names if name.endswith(".base_layer")]
    with fathom.watch(whole, layers=["*", *wrapped], budget=None) as monitor, torch.no_grad():
        found = outputs_of(whole, monitor.layers)
        sums, base = {}, {}
        for step in range(4):
            if step == 1:
                whole.merge_adapter()
            if step == 2:
                whole.unmerge_adapter()
            if step == 3:
                with whole.disable_adapter():
                    whole(**batch)
            else:
                whole(**batch)
            snapshot = monitor.snapshot(step)
            assert set(snapshot.unobserved) == (set(adapters) if step in {1, 3} else set())
            for name in snapshot.eval:
                assert_tokens_read(snapshot.eval[name], found[name], batch["attention_mask"])
            sums[step] = [found[name] for name in wrapped]
            base[step] = [found[f"{name}.base_layer"] for name in wrapped]
    torch.testing.assert_close(base[1], sums[0])
    torch.testing.assert_close(base[2], base[0])
    torch.testing.assert_close(sums[3][0], base[0][0])


@MAKES
def test_an_adapter_that_is_merged_for_good_is_read_in_the_layer_beneath(make: Make) -> None:
    model, batch = make(), inputs()
    with fathom.watch(model, budget=None) as monitor, torch.no_grad():
        model = adapted(model, training=False).merge_and_unload()
        found = outputs_of(model, monitor.layers)
        model(**batch)
        snapshot = monitor.snapshot(0)
    assert snapshot.unobserved == ()
    for name, output in found.items():
        assert_tokens_read(snapshot.eval[name], output, batch["attention_mask"])


@pytest.mark.parametrize("kind", [peft.PromptTuningConfig, peft.PrefixTuningConfig])
@pytest.mark.parametrize("part", ["whole", "inside"])
def test_a_mask_that_does_not_fit_for_tokens_put_in_front_is_told_and_one_by_hand_counts(
    kind: Any, part: str
) -> None:
    model, batch = gpt2(), inputs()
    config = kind(task_type="CAUSAL_LM", num_virtual_tokens=2)
    whole = peft.get_peft_model(model, config).eval()
    root = whole if part == "whole" else model
    # The prompt makes the sequence longer than the user's mask, the prefix the mask longer.
    fits = (kind is peft.PromptTuningConfig) == (part == "inside")
    told = nullcontext() if fits else pytest.warns(fathom.FathomWarning, match="does not fit")
    with fathom.watch(root, layers=["*.h.*", "*lm_head"], budget=None) as monitor, torch.no_grad():
        found = outputs_of(root, monitor.layers)
        with told:
            whole(**batch)
        unasked = monitor.snapshot(0).eval
        put_before = next(iter(found.values())).shape[1] - T
        mask = nn.functional.pad(batch["attention_mask"], (put_before, 0), value=1)
        monitor.mask(mask)
        whole(**batch)
        by_hand = monitor.snapshot(1).eval
    assert unasked.keys() == by_hand.keys() == found.keys()
    for name, output in found.items():
        assert_tokens_read(unasked[name], output, mask if fits else torch.ones_like(mask))
        assert_tokens_read(by_hand[name], output, mask)
