"""Architectures by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from fathom.errors import ArgumentError, near
from fathom.experiments.models.autoencoder import inception, small
from fathom.experiments.models.dense import Dense
from fathom.experiments.models.resnet import ResNet
from fathom.experiments.models.vgg import VGG


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a name stands for.

    Attributes:
        make: From (width, classes, shape of a picture) to the model.
        units: Whether `width` is a number of units, of the layer that is varied, and not a share of
            the architecture's own width.
        focus: The name of the layer that the papers look at; "" where they look at all.
        reconstructs: Whether it gives its pictures back, and does not tell their classes.
    """

    make: Callable[[float, int, tuple[int, int, int]], nn.Module]
    units: bool = False
    focus: str = ""
    reconstructs: bool = False

    def check_width(self, width: float, *, where: str) -> None:
        """Refuse a width that this architecture cannot have.

        Args:
            width: A share, or units.
            where: The place, for the message.

        Raises:
            ArgumentError: If units are not whole, or a share is not in (0, 4].
        """
        if self.units and not (width >= 1 and width % 1 == 0):
            raise ArgumentError(
                f"{where}: width must be a whole number of units, at least 1, got {width!r}."
            )
        if not self.units and not 0 < width <= 4:
            raise ArgumentError(
                f"{where}: width must be a share of the architecture's own, in (0, 4], got "
                f"{width!r}. Pass 0.5 for half of it."
            )


def architecture(name: str) -> Architecture:
    """Return the architecture of a name.

    Args:
        name: Such as `vgg16`.

    Returns:
        How it is made.

    Raises:
        ArgumentError: If there is none; the message lists some.
    """
    if name not in ARCHITECTURES:
        raise ArgumentError(
            f"experiment: model must be known, got {name!r}. {near(name, list(ARCHITECTURES))}"
        )
    return ARCHITECTURES[name]


def build(name: str, *, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained model; its weights are drawn from torch's global generator.

    Args:
        name: Of an architecture.
        width: A share of its own width, or units.
        classes: How many outputs it has; autoencoders have none.
        shape: Channels, height and width of a picture.

    Returns:
        From (b, c, h, w) normalised pictures to (b, classes) logits, or to pictures.

    Raises:
        ArgumentError: If there is no such architecture, or it cannot have this width.
    """
    found = architecture(name)
    found.check_width(width, where=name)
    return found.make(width, classes, shape)


ARCHITECTURES = {
    "dense": Architecture(
        lambda width, classes, shape: Dense(int(width), classes, shape), units=True, focus="hidden"
    ),
    **{f"vgg{depth}": Architecture(partial(VGG, depth)) for depth in (11, 13, 16, 19)},
    **{f"resnet{depth}": Architecture(partial(ResNet, depth)) for depth in (18, 34)},
    **{
        f"resnet{depth}-stride1": Architecture(partial(ResNet, depth, downsample=False))
        for depth in (18, 34)
    },
    "autoencoder": Architecture(
        lambda width, _, shape: small(int(width), shape),
        units=True,
        focus="bottleneck",
        reconstructs=True,
    ),
    "autoencoder-inception": Architecture(
        lambda width, _, shape: inception(int(width), shape),
        units=True,
        focus="bottleneck",
        reconstructs=True,
    ),
}
