"""Hugging Face's own switch for activation checkpointing: every real token counts once."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import BertConfig, GPT2Config, LlamaConfig

import fathom
from comparison import assert_read

# The newest release has another name for the switch.
pytestmark = [
    pytest.mark.regime("Checkpointing"),
    pytest.mark.filterwarnings(
        "ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning"
    ),
]

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


def gpt2() -> Any:
    config: dict[str, Any] = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 99}
    return transformers.GPT2LMHeadModel(GPT2Config(**config, bos_token_id=0, eos_token_id=0))


def bert() -> Any:
    return transformers.BertForMaskedLM(BertConfig(**SMALL))


def llama() -> Any:
    return transformers.LlamaForCausalLM(LlamaConfig(**SMALL))


def tokens() -> Tensor:
    return torch.randint(1, 99, (5, 9))


def mask() -> Tensor:
    return (torch.arange(9) < torch.tensor([9, 4, 7, 1, 9])[:, None]).long()


def step(model: Any, ids: Tensor, backwards: int, **masks: Tensor) -> None:
    """A training step with dropout, the same each time."""
    torch.manual_seed(1)
    loss = model(input_ids=ids, **masks).logits.square().mean()
    for each in range(backwards):
        loss.backward(retain_graph=each + 1 < backwards)


@pytest.mark.parametrize("make", [gpt2, bert, llama])
@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("backwards", [1, 2])
@pytest.mark.parametrize("masked", ["by name", "by hand"])
def test_every_real_token_of_a_checkpointed_transformer_counts_once(
    make: Callable[[], Any], use_reentrant: bool, backwards: int, masked: str
) -> None:
    torch.manual_seed(0)
    model, ids = make().train(), tokens()
    by_name = {"attention_mask": mask()} if masked == "by name" else {}
    plain = copy.deepcopy(model)
    model.gradient_checkpointing_enable(
        gradient_checkpointing_kwargs={"use_reentrant": use_reentrant}
    )
    unwatched = copy.deepcopy(model)
    blocks = [name for name, _ in model.named_modules() if name.endswith((".0", ".1"))]
    assert len(blocks) == 2
    runs: list[object] = []
    leaf = next(p for p in model.get_submodule(blocks[0]).modules() if not list(p.children()))
    leaf.register_forward_pre_hook(lambda *call: runs.append(call))
    with fathom.watch(model, layers=["*", *blocks], budget=None) as monitor:
        if masked == "by hand":
            monitor.mask(mask())
        step(model, ids, backwards, **by_name)
        readings = monitor.snapshot(0).train
    assert len(runs) == 1 + backwards
    outputs: dict[str, Any] = {}
    for name in monitor.layers:
        plain.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: outputs.update({name: output})
        )
    step(plain, ids, backwards, **by_name)
    assert outputs.keys() == readings.keys() >= {*blocks}
    for name, output in outputs.items():
        tensor = output if isinstance(output, Tensor) else output[0]
        rows = tensor[mask().bool()].detach().double().cpu().numpy()
        assert_read(readings[name], rows, samples=5)
        assert readings[name].padded == 45 - len(rows) == 15
    # Checkpointing alone may change the last bit of a gradient, so its copy is checkpointed too.
    step(unwatched, ids, backwards, **by_name)
    for one, other in zip(model.parameters(), unwatched.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
