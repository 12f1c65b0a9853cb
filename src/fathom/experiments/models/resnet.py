"""The ResNets of basic blocks, with and without their early downsampling."""

from torch import Tensor, nn

from fathom.experiments.models.convolutions import begin, channels

_STAGES = (64, 128, 256, 512)
_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class ResNet(nn.Module):
    """One convolution, four stages of basic blocks, global average pooling, the output layer.

    References:
        He et al. 2015, "Deep Residual Learning for Image Recognition", table 1.
    """

    def __init__(
        self,
        depth: int,
        share: float,
        classes: int,
        shape: tuple[int, int, int],
        *,
        downsample: bool = True,
    ):
        """Make the layers.

        Args:
            depth: 18 or 34.
            share: Of its own width, > 0.
            classes: The number of outputs.
            shape: Channels, height and width of a picture.
            downsample: Whether the first convolution has a stride of 2, and a pooling follows it.
                All else, the 7×7 kernel too, is the same without.
        """
        super().__init__()
        first, *later = (channels(own, share=share) for own in _STAGES)
        self.conv1 = nn.Conv2d(
            shape[0], first, 7, stride=2 if downsample else 1, padding=3, bias=False
        )
        self.bn1 = nn.BatchNorm2d(first)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if downsample else nn.Identity()
        counts = _BLOCKS[depth]
        self.layer1 = _stage(first, first, counts[0], stride=1)
        self.layer2 = _stage(first, later[0], counts[1], stride=2)
        self.layer3 = _stage(later[0], later[1], counts[2], stride=2)
        self.layer4 = _stage(later[1], later[2], counts[3], stride=2)
        self.fc = nn.Linear(later[2], classes)
        begin(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, classes) logits of (b, c, h, w) images."""
        maps = self.maxpool(self.bn1(self.conv1(images)).relu_())
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = stage(maps)
        return self.fc(maps.mean((2, 3)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Two convolutions, and a way past them."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, maps: Tensor) -> Tensor:
        found = self.bn1(self.conv1(maps)).relu_()
        found = self.bn2(self.conv2(found)) + self.downsample(maps)
        return found.relu_()  # type: ignore[no-any-return]


def _stage(inputs: int, outputs: int, count: int, *, stride: int) -> nn.Sequential:
    first = _Block(inputs, outputs, stride)
    return nn.Sequential(first, *(_Block(outputs, outputs, 1) for _ in range(count - 1)))
