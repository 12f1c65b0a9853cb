"""An LSTM that reads digits line by line, of which every step counts, or each image's last alone.

python examples/lstm.py
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import fathom

EPOCHS, BATCH, TRAIN = 6, 64, 1437

images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
images = images.float() / 16  # (b, 64): 8 steps of 8 pixels


class Reader(nn.Module):
    """Two LSTM layers and a head on the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 64, num_layers=2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, lines: Tensor) -> Tensor:
        return self.head(self.lstm(lines)[0][:, -1])


torch.manual_seed(0)
model = Reader()
optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)

# timesteps="last" would count one row an image instead of eight.
with fathom.watch(model, "runs/lstm", budget=None, timesteps="all") as monitor:
    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(TRAIN).split(BATCH):
            loss = functional.cross_entropy(model(images[batch].view(-1, 8, 8)), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            right = model(images[TRAIN:].view(-1, 8, 8)).argmax(1) == labels[TRAIN:]
        snapshot = monitor.snapshot(epoch, loss=loss, accuracy=right.double().mean()).wait()
        print(epoch, snapshot.eval["lstm"])
