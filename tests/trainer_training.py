"""Trainings by Hugging Face's Trainer on padded lines of text."""

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

QUIET = pytest.mark.filterwarnings(
    # Theirs: what they use of torch, and of themselves.
    "ignore:.*pin_memory:UserWarning",
    "ignore:Detected call of `lr_scheduler.step:UserWarning",
)

NAME = "transformer.h.1.mlp.c_fc"


class Boom(Exception):
    pass


def texts(module: Any, count: int) -> list[dict[str, list[int]]]:
    """Lines of the standard library as characters, each as long as it is."""
    lines = [line.strip() for line in inspect.getsource(module).splitlines()]
    kept = [line[:24] for line in lines if len(line) > 2][:count]
    return [{"input_ids": [1 + ord(c) % 90 for c in line]} for line in kept]


def collate(items: list[dict[str, list[int]]]) -> dict[str, Tensor]:
    """Pad at the end, and say where."""
    longest = max(len(each["input_ids"]) for each in items)
    ids = torch.tensor([e["input_ids"] + [0] * (longest - len(e["input_ids"])) for e in items])
    mask = torch.tensor([[i < len(e["input_ids"]) for i in range(longest)] for e in items])
    return {
        "input_ids": ids,
        "attention_mask": mask.long(),
        "labels": ids.masked_fill(~mask, -100),
    }


TRAINING, VALIDATION = texts(json, 16), texts(copy, 12)
REAL = {"train": sum(len(e["input_ids"]) for e in TRAINING)}
REAL["eval"] = sum(len(e["input_ids"]) for e in VALIDATION)


def gpt2() -> Any:
    torch.manual_seed(0)
    config: dict[str, Any] = {"vocab_size": 99, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "n_positions": 32}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**config))


def trainer(root: Path, model: Any, callbacks: list[Any], **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "output_dir": str(root / "out"),
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "eval_strategy": "epoch",
        "logging_strategy": "epoch",
    }
    return transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(**{**defaults, **options}),
        train_dataset=TRAINING,
        eval_dataset=VALIDATION,
        data_collator=collate,
        callbacks=callbacks,
    )


class Stop(transformers.TrainerCallback):  # type: ignore[misc, unused-ignore]
    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == self.at:
            raise Boom


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
