"""A small CNN on scikit-learn's digits, watched; then what to look at.

python examples/digits_cnn.py
fathom top runs/digits-cnn        # in another terminal, while it trains
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import fathom

EPOCHS, BATCH, TRAIN = 8, 64, 1437

images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
images = images.float().reshape(-1, 1, 8, 8) / 16

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, padding=1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(64, 10),
)
optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)

with fathom.watch(model, "runs/digits-cnn", budget=None, progress=True) as monitor:
    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(TRAIN).split(BATCH):
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            right = model(images[TRAIN:]).argmax(1) == labels[TRAIN:]
        snapshot = monitor.snapshot(epoch, loss=loss, accuracy=right.double().mean())

for name, reading in snapshot.eval.items():
    print(f"{name:>2}: {reading.intrinsic_dimension:3} of {reading.width:3} directions")
