"""The VGGs of SA 3.1."""

from torch import Tensor, nn

from fathom.errors import ArgumentError
from fathom.experiments.models.convolutions import begin, channels

_STAGES = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_SMALLEST = 2 ** len(_STAGES)


class VGG(nn.Module):
    """Convolutions with batch normalisation, global average pooling, one hidden layer.

    References:
        Simonyan and Zisserman 2014, table 1, columns A, B, D and E, for the convolutions. Shenk et
        al. 2019, section 3.1, for what comes after them.
    """

    def __init__(self, depth: int, share: float, classes: int, shape: tuple[int, int, int]):
        """Make the layers.

        Args:
            depth: 11, 13, 16 or 19: the layers with weights in the architecture as published.
            share: Of its own width, > 0.
            classes: The number of outputs.
            shape: Channels, height and width of a picture.

        Raises:
            ArgumentError: If the five poolings would leave nothing of a picture.
        """
        super().__init__()
        inputs, height, width = shape
        if min(height, width) < _SMALLEST:
            raise ArgumentError(
                f"vgg{depth}: pictures must have {_SMALLEST}×{_SMALLEST} pixels or more, got "
                f"{height}×{width}. Enlarge them."
            )
        layers: list[nn.Module] = []
        for own, count in zip(_STAGES, _CONVOLUTIONS[depth], strict=True):
            outputs = channels(own, share=share)
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
                layers += [nn.ReLU(inplace=True)]
                inputs = outputs
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inputs, inputs), nn.ReLU(inplace=True), nn.Linear(inputs, classes)
        )
        begin(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, classes) logits of (b, c, h, w) images."""
        return self.classifier(self.features(images).mean((2, 3)))  # type: ignore[no-any-return]
