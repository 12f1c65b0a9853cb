"""The fully connected network of SA 3.1."""

from torch import Tensor, nn

_INPUT = 128


class Dense(nn.Module):
    """Three layers: 128 units, those that are varied, and one an output.

    References:
        Shenk et al. 2019, section 3.1.
    """

    def __init__(self, units: int, classes: int, shape: tuple[int, int, int]):
        """Make the layers.

        Args:
            units: Of the second layer.
            classes: The number of outputs.
            shape: Channels, height and width of a picture.
        """
        super().__init__()
        channels, height, width = shape
        self.input = nn.Linear(channels * height * width, _INPUT)
        self.hidden = nn.Linear(_INPUT, units)
        self.output = nn.Linear(units, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, classes) logits of (b, c, h, w) images."""
        hidden = self.hidden(self.input(images.flatten(1)).relu()).relu()
        return self.output(hidden)  # type: ignore[no-any-return]
