"""The autoencoders of SA 3.2: an encoder, a bottleneck of a given width, a small decoder."""

from torch import Tensor, nn

from fathom.errors import ArgumentError
from fathom.experiments.models.inception import FEATURES, Inception

_CHANNELS = (32, 64, 64)
_HALVINGS = 2 ** len(_CHANNELS)


class Autoencoder(nn.Module):
    """Pictures through a bottleneck and back; the bottleneck and the output are linear."""

    def __init__(
        self,
        encoder: nn.Module,
        features: int,
        units: int,
        shape: tuple[int, int, int],
        *,
        name: str,
    ):
        """Make the layers.

        Args:
            encoder: From (b, c, h, w) pictures to (b, features).
            features: Of the encoder.
            units: Of the bottleneck.
            shape: Channels, height and width of a picture.
            name: Of the architecture, for the message.

        Raises:
            ArgumentError: If the decoder cannot give pictures of this size.
        """
        super().__init__()
        channels, height, width = shape
        if height % _HALVINGS or width % _HALVINGS:
            raise ArgumentError(
                f"{name}: pictures must have a height and a width that {_HALVINGS} divides, got "
                f"{height}×{width}. Enlarge or crop them."
            )
        self.encoder = encoder
        self.bottleneck = nn.Linear(features, units)
        self.decoder = _decoder(units, channels, (height // _HALVINGS, width // _HALVINGS))

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, c, h, w) pictures, as near to the images as they can be."""
        return self.decoder(self.bottleneck(self.encoder(images)))  # type: ignore[no-any-return]


def small(units: int, shape: tuple[int, int, int]) -> Autoencoder:
    """Return an autoencoder of three convolutions each way, for CPUs.

    Args:
        units: Of the bottleneck.
        shape: Channels, height and width of a picture; 8 divides the latter two.
    """
    inputs, height, width = shape
    layers: list[nn.Module] = []
    for outputs in _CHANNELS:
        layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        inputs = outputs
    features = inputs * (height // _HALVINGS) * (width // _HALVINGS)
    encoder = nn.Sequential(*layers, nn.Flatten())
    return Autoencoder(encoder, features, units, shape, name="autoencoder")


def inception(units: int, shape: tuple[int, int, int]) -> Autoencoder:
    """Return the papers' autoencoder, whose encoder is Inception-v3.

    Args:
        units: Of the bottleneck.
        shape: Channels, height and width of a picture; 8 divides the latter two.
    """
    return Autoencoder(Inception(shape[0]), FEATURES, units, shape, name="autoencoder-inception")


def _decoder(units: int, channels: int, smallest: tuple[int, int]) -> nn.Sequential:
    inputs, *later = reversed(_CHANNELS)
    layers: list[nn.Module] = [
        nn.Linear(units, inputs * smallest[0] * smallest[1]),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (inputs, *smallest)),
    ]
    for outputs in later:
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
        layers += [nn.ReLU(inplace=True)]
        inputs = outputs
    # No activation at the end: normalised pictures are above 1 and below 0.
    return nn.Sequential(*layers, nn.ConvTranspose2d(inputs, channels, 4, stride=2, padding=1))
