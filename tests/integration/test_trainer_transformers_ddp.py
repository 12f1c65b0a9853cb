"""Hugging Face's Trainer on two processes."""

from pathlib import Path

import fathom
from preloaded import ranks

_DDP = """
import sys
import torch, transformers
from fathom.integrations.transformers import FathomCallback

run, resume = sys.argv[1], sys.argv[2:]
torch.manual_seed(0)
config = transformers.GPT2Config(
    vocab_size=99, n_embd=16, n_layer=1, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0,
    resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
)

class Texts(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        real = (torch.arange(12) < index % 9 + 3).long()
        ids = (torch.arange(12) * (index + 3) % 90 + 1) * real
        return {"input_ids": ids, "attention_mask": real, "labels": ids}

trainer = transformers.Trainer(
    model=transformers.GPT2LMHeadModel(config),
    args=transformers.TrainingArguments(
        output_dir="out", use_cpu=True, ddp_backend="gloo", report_to=[], disable_tqdm=True,
        num_train_epochs=2, per_device_train_batch_size=2, eval_strategy="epoch",
        save_strategy="steps", save_steps=2,
    ),
    train_dataset=Texts(),
    eval_dataset=Texts(),
    callbacks=[FathomCallback(run, budget=None)],
)
trainer.train(resume_from_checkpoint=resume[0] if resume else None)
"""


def test_under_ddp_the_rows_of_all_ranks_count_and_each_keeps_its_window(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(_DDP)
    for arguments in (["run"], ["run", "out/checkpoint-6"]):
        ranks(tmp_path / "train.py", *arguments, modules=("fathom", "transformers.trainer"))
        run = fathom.open_run(tmp_path / "run")
        assert run.steps == [4, 8]
        real = sum(index % 9 + 3 for index in range(16))
        for step in run.steps:
            snapshot = run.snapshot(step)
            for readings in (snapshot.train, snapshot.eval):
                counts = {(reading.samples, reading.rows) for reading in readings.values()}
                assert counts == {(16, real)}
    saved = {path.name for path in (tmp_path / "out" / "checkpoint-6").glob("fathom*")}
    assert saved == {"fathom-0.pt", "fathom-1.pt"}
