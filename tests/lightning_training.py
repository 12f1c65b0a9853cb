"""Trainings by Lightning on a few rows, that keep what their first layer returns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fathom
from comparison import assert_read

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]

QUIET = [
    # Theirs: of workers, of the logging interval, and of what they use of torch.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings("ignore:You are using `torch.load`"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)`"),
]


class Boom(Exception):
    pass


def module(pl: Any, **options: Any) -> Any:
    """A module that keeps what its first layer returns, but for the sanity check."""

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self, lr: float | None = 0.1, fail_at: int = -1) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
            self.net[0].register_forward_hook(self.keep)
            self.seen: dict[str, list[Tensor]] = {"train": [], "eval": []}
            self.lr, self.fail_at = lr, fail_at

        def keep(self, layer: nn.Module, args: Any, output: Tensor) -> None:
            if not self.trainer.sanity_checking:
                self.seen["train" if self.training else "eval"].append(output.detach().clone())

        def taken(self) -> dict[str, np.ndarray[Any, Any]]:
            rows = {p: torch.cat(each).double().numpy() for p, each in self.seen.items() if each}
            self.seen = {"train": [], "eval": []}
            return rows

        def training_step(self, batch: Any, index: int) -> Tensor:
            if self.global_step == self.fail_at:
                raise Boom
            loss: Tensor = self.net(batch[0]).square().mean()
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.net(batch[0]).square().mean())

        def on_train_epoch_end(self) -> None:
            self.epochs = [*getattr(self, "epochs", []), self.taken()]

        def configure_optimizers(self) -> Any:
            return None if self.lr is None else torch.optim.SGD(self.parameters(), lr=self.lr)

    return Module(**options)


def loader(count: int, seed: int) -> DataLoader[Any]:
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(rows), batch_size=4)


TRAINING, VALIDATION = loader(20, 1), loader(12, 2)


def trainer(pl: Any, root: Path, callback: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "max_epochs": 3,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "callbacks": callback,
    }
    return pl.Trainer(default_root_dir=root, **{**defaults, **options})


def saving(pl: Any, root: Path, **options: Any) -> dict[str, Any]:
    """A callback that keeps every checkpoint, and what a trainer has to be told for it."""
    kept = {"save_top_k": -1, "filename": "{step}", **options}
    return {
        "enable_checkpointing": True,
        "callbacks": [pl.callbacks.ModelCheckpoint(root / "saved", **kept)],
    }


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def assert_epoch(run: fathom.Run, step: int, rows: dict[str, Any]) -> None:
    snapshot = run.snapshot(step)
    for phase in ("train", "eval"):
        assert ("net.0" in snapshot.phase(phase)) == (phase in rows)
        if phase in rows:
            assert_read(snapshot.phase(phase)["net.0"], rows[phase], samples=len(rows[phase]))
