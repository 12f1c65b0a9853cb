"""Tiny transformers with random weights, tokens with padding, and what their layers return."""

from collections.abc import Callable
from typing import Any

import numpy as np
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


def all_linear(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [each for each in model.named_modules() if isinstance(each[1], nn.Linear)]


def assert_rows(reading: fathom.Reading, rows: Tensor, *, samples: int = B) -> None:
    assert reading.rows == len(rows)
    assert reading.samples == samples
    expected = reference.eigenvalues(rows)
    np.testing.assert_allclose(reading.eigenvalues, expected, rtol=1e-4, atol=1e-6 * expected[0])
