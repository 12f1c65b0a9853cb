"""A small network that has learnt the digits, whose run keeps its covariances."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import fathom

_HELD_OUT = 360


class Learnt:
    """The network, its data, and its run."""

    def __init__(self, folder: Path, *, epochs: int = 4):
        bunch = load_digits()
        images = torch.from_numpy(bunch.images).float()[:, None] / 16 - 0.3
        labels = torch.from_numpy(bunch.target).long()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        self.test = images[order[:_HELD_OUT]], labels[order[:_HELD_OUT]]
        self.train = images[order[_HELD_OUT:]], labels[order[_HELD_OUT:]]
        self.folder = folder
        torch.manual_seed(0)
        layers: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(1, 16, 3, padding=1),
            "relu1": nn.ReLU(inplace=True),
            "conv2": nn.Conv2d(16, 32, 3, stride=2),
            "norm": nn.BatchNorm2d(32),
            "relu2": nn.ReLU(inplace=True),
            "flat": nn.Flatten(),
            "hidden": nn.Linear(32 * 9, 32),
            "relu3": nn.ReLU(inplace=True),
            "head": nn.Linear(32, 10),
        }
        self.model = nn.Sequential(OrderedDict(layers))
        optimiser = torch.optim.Adam(self.model.parameters(), lr=5e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(self.train[0])).split(64):
                outputs = self.model(self.train[0][batch])
                loss = functional.cross_entropy(outputs, self.train[1][batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        self.model.eval()
        accuracy = self.accuracy(self.model)
        with fathom.watch(self.model, folder, keep="covariance", budget=None) as monitor:
            with torch.no_grad():
                self.model(self.train[0])
            monitor.snapshot(epochs, accuracy=accuracy)

    @property
    def accuracy(self) -> Callable[[nn.Module], Tensor]:
        """The share of the held-out images that a model tells."""
        images, labels = self.test

        def accuracy(model: nn.Module) -> Tensor:
            with torch.no_grad():
                found: Tensor = (model(images).argmax(1) == labels).double().mean()
            return found

        return accuracy
