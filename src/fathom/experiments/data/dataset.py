"""What every data set is to an experiment: pictures in bytes, labels, and the names of classes."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Images:
    """Labelled pictures.

    Attributes:
        pixels: (n, 3, h, w), uint8.
        labels: (n,), int64, from 0 to classes - 1.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set in two parts.

    Attributes:
        name: What it is, as figures and findings say: never the name of another.
        train: To fit on.
        test: Held out.
        classes: Their names, in the order of the labels.
        flips: Whether a mirrored picture still shows its class: not so of digits.
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    flips: bool = True

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture."""
        channels, height, width = self.train.pixels.shape[1:]
        return channels, height, width
