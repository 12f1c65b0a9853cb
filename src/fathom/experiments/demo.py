"""A small VGG on real handwritten digits, watched: what `fathom demo` trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.attach import watch
from fathom.extras import require
from fathom.snapshot import Snapshot

EPOCHS = 12
_BATCH = 64
_HELD_OUT = 360


class SmallVGG(nn.Module):
    """Six convolutions in three blocks, global average pooling, one hidden layer."""

    def __init__(self, classes: int = 10):
        """Make the layers.

        Args:
            classes: The number of outputs.
        """
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 1
        for width in (32, 64, 128):
            for inputs in (channels, width):
                blocks += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width)]
                blocks += [nn.ReLU(inplace=True)]
            blocks += [nn.MaxPool2d(2)]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Linear(channels, 64), nn.ReLU(inplace=True), nn.Linear(64, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, classes) logits of (b, 1, h, w) images."""
        return self.classifier(self.features(images).mean((2, 3)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's handwritten digits, 1,797 images of 8×8, enlarged to 16×16.

    Attributes:
        train: (1437, 1, 16, 16) images and (1437,) labels.
        test: (360, 1, 16, 16) images and (360,) labels.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @classmethod
    def load(cls) -> "Digits":
        """Read the images that scikit-learn ships, in a fixed random order.

        Returns:
            The two parts.

        Raises:
            MissingExtraError: If scikit-learn is not installed.
        """
        bunch = require("sklearn.datasets", extra="demo").load_digits()
        images = torch.from_numpy(bunch.images).float()[:, None] / 16 - 0.3
        images = functional.interpolate(images, size=16, mode="bilinear", align_corners=False)
        labels = torch.from_numpy(bunch.target).long()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        held_out, kept = order[:_HELD_OUT], order[_HELD_OUT:]
        return cls((images[kept], labels[kept]), (images[held_out], labels[held_out]))


def train(run: Path, *, epochs: int = EPOCHS) -> Iterator[tuple[float, Snapshot | None]]:
    """Train, watched, and record a snapshot an epoch.

    Args:
        run: Where to record.
        epochs: How often to go through the images.

    Yields:
        After every batch the share of the training that is done, and at the end of an epoch its
        snapshot.

    Raises:
        RunExistsError: If there is a run already.
        MissingExtraError: If scikit-learn is not installed.
    """
    digits = Digits.load()
    torch.manual_seed(0)
    model = SmallVGG()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = digits.train
    done, total = 0, epochs * len(labels)
    with watch(model, run) as monitor:
        for epoch in range(epochs):
            model.train()
            losses = []
            for batch in torch.randperm(len(labels)).split(_BATCH):
                loss = functional.cross_entropy(model(images[batch]), labels[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.detach())
                done += len(batch)
                yield done / total, None
            accuracy = _accuracy(model, *digits.test)
            loss = torch.stack(losses).mean()
            yield done / total, monitor.snapshot(epoch, loss=loss.item(), accuracy=accuracy)


@torch.inference_mode()
def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    guesses = torch.cat([model(batch).argmax(1) for batch in images.split(_BATCH)])
    return (guesses == labels).double().mean().item()
