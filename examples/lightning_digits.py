"""Lightning, with one line for fathom.

python examples/lightning_digits.py
"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from fathom.integrations.lightning import FathomCallback

EPOCHS, BATCH, TRAIN = 4, 64, 1437


class Digits(lightning.LightningModule):
    """A perceptron on 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        right = self.layers(batch[0]).argmax(1) == batch[1]
        self.log("accuracy", right.float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
images = images.float() / 16
train = DataLoader(TensorDataset(images[:TRAIN], labels[:TRAIN]), BATCH, shuffle=True)
held_out = DataLoader(TensorDataset(images[TRAIN:], labels[TRAIN:]), BATCH)

lightning.seed_everything(0)
trainer = lightning.Trainer(
    max_epochs=EPOCHS,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    callbacks=[FathomCallback("runs/lightning", budget=None)],
)
trainer.fit(Digits(), train, held_out)
