"""Lightning on two processes."""

import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

import fathom
from comparison import assert_read
from fathom.integrations.lightning import FathomCallback
from lightning_training import PACKAGES, QUIET, VALIDATION, loader, module, trainer

pytestmark = QUIET

_DDP = """
import sys, warnings
import numpy, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import {package} as pl
from fathom.integrations.lightning import FathomCallback

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
        self.net[0].register_forward_hook(self.keep)
        self.seen = {{"train": [], "eval": []}}

    def keep(self, layer, args, output):
        if not self.trainer.sanity_checking:
            self.seen["train" if self.training else "eval"].append(output.detach().clone())

    def training_step(self, batch, index):
        loss = self.net(batch[0]).square().mean()
        self.log("loss", loss, sync_dist=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.net(batch[0]).square().mean(), sync_dist=True)

    def on_train_epoch_end(self):
        rows = {{phase: torch.cat(each).double().numpy() for phase, each in self.seen.items()}}
        numpy.savez(f"rows-{{self.current_epoch}}-{{self.global_rank}}.npz", **rows)
        self.seen = {{"train": [], "eval": []}}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def loader(count, seed):
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(rows), batch_size=4)

trainer = pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False,
    enable_progress_bar=False, enable_model_summary=False, callbacks=[
        FathomCallback("run", budget=None),
        pl.callbacks.ModelCheckpoint(".", save_top_k=-1, every_n_train_steps=3),
    ],
)
trainer.fit(Module(), loader(32, 1), loader(16, 2))
"""


def test_under_ddp_the_rows_of_all_ranks_count(tmp_path: Path) -> None:
    # What differs between the packages, test_lightning.py runs with both.
    package = PACKAGES[0]
    (tmp_path / "train.py").write_text(_DDP.format(package=package))
    source = Path(fathom.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-W", "ignore", "train.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=180,
        capture_output=True,
    )
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [4, 8]
    for epoch, step in enumerate(run.steps):
        ranks = [np.load(tmp_path / f"rows-{epoch}-{rank}.npz") for rank in range(2)]
        for phase, count in (("train", 32), ("eval", 16)):
            rows = np.concatenate([rank[phase] for rank in ranks])
            assert_read(run.snapshot(step).phase(phase)["net.0"], rows, samples=count)
        assert set(run.snapshot(step).metrics) == {"loss", "val_loss"}

    pl = importlib.import_module(package)
    callbacks = [
        FathomCallback(tmp_path / "run", budget=None),
        pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=3),
    ]
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", category=fathom.FathomWarning)
        alone = trainer(pl, tmp_path, callbacks, max_epochs=1, enable_checkpointing=True)
        (saved,) = tmp_path.glob("*step=3.ckpt")
        alone.fit(module(pl), loader(32, 1), VALIDATION, ckpt_path=saved)
    assert ["of rank 0 alone" in str(each.message) for each in told] == [True]
    assert run.steps == [8]
    assert run.snapshot(8).train["net.0"].samples == 20
