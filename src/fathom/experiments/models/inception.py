"""Inception-v3 up to its features, without the auxiliary head: the encoder of SA 3.2."""

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 2048
_SIZE = 299


class Inception(nn.Module):
    """Pictures, enlarged to 299×299, to 2,048 features each.

    The stages have their authors' names: `mixed_5*` give maps of 35×35, `mixed_6*` of 17×17 and
    `mixed_7*` of 8×8.

    References:
        Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision", table 1
        and figures 5 to 7; the branches' channels, which it does not give, and their batch
        normalisation's epsilon of 0.001 are those of its authors' program.
    """

    def __init__(self, channels: int):
        """Make the layers.

        Args:
            channels: Of a picture.
        """
        super().__init__()
        self.stem = nn.Sequential(
            _Convolution(channels, 32, 3, stride=2),
            _Convolution(32, 32, 3),
            _Convolution(32, 64, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            _Convolution(64, 80, 1),
            _Convolution(80, 192, 3),
            nn.MaxPool2d(3, stride=2),
        )
        self.mixed_5b = _of_35(192, pooled=32)
        self.mixed_5c = _of_35(256, pooled=64)
        self.mixed_5d = _of_35(288, pooled=64)
        self.mixed_6a = _to_17(288)
        self.mixed_6b = _of_17(128)
        self.mixed_6c = _of_17(160)
        self.mixed_6d = _of_17(160)
        self.mixed_6e = _of_17(192)
        self.mixed_7a = _to_8(768)
        self.mixed_7b = _of_8(1280)
        self.mixed_7c = _of_8(FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, 2048) features of (b, c, h, w) images."""
        # Nobody needs its gradient, which is not deterministic on a GPU.
        with torch.no_grad():
            maps = functional.interpolate(images, size=(_SIZE, _SIZE), mode="bilinear")
        for stage in self.children():
            maps = stage(maps)
        return maps.mean((2, 3))


class _Convolution(nn.Module):
    """A convolution, batch normalisation and a ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        return self.bn(self.conv(maps)).relu_()  # type: ignore[no-any-return]


class _Mixed(nn.ModuleDict):
    """Branches on the same maps; their channels lie side by side."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([branch(maps) for branch in self.values()], 1)


def _row(inputs: int, outputs: int, length: int) -> _Convolution:
    return _Convolution(inputs, outputs, (1, length), padding=(0, length // 2))


def _column(inputs: int, outputs: int, length: int) -> _Convolution:
    return _Convolution(inputs, outputs, (length, 1), padding=(length // 2, 0))


def _pooled(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), _Convolution(inputs, outputs, 1))


def _of_35(inputs: int, *, pooled: int) -> _Mixed:
    return _Mixed(
        {
            "one": _Convolution(inputs, 64, 1),
            "five": nn.Sequential(_Convolution(inputs, 48, 1), _Convolution(48, 64, 5, padding=2)),
            "three_twice": nn.Sequential(
                _Convolution(inputs, 64, 1),
                _Convolution(64, 96, 3, padding=1),
                _Convolution(96, 96, 3, padding=1),
            ),
            "pooled": _pooled(inputs, pooled),
        }
    )


def _to_17(inputs: int) -> _Mixed:
    return _Mixed(
        {
            "three": _Convolution(inputs, 384, 3, stride=2),
            "three_twice": nn.Sequential(
                _Convolution(inputs, 64, 1),
                _Convolution(64, 96, 3, padding=1),
                _Convolution(96, 96, 3, stride=2),
            ),
            "pooled": nn.MaxPool2d(3, stride=2),
        }
    )


def _of_17(inner: int) -> _Mixed:
    return _Mixed(
        {
            "one": _Convolution(768, 192, 1),
            "seven": nn.Sequential(
                _Convolution(768, inner, 1), _row(inner, inner, 7), _column(inner, 192, 7)
            ),
            "seven_twice": nn.Sequential(
                _Convolution(768, inner, 1),
                _column(inner, inner, 7),
                _row(inner, inner, 7),
                _column(inner, inner, 7),
                _row(inner, 192, 7),
            ),
            "pooled": _pooled(768, 192),
        }
    )


def _to_8(inputs: int) -> _Mixed:
    return _Mixed(
        {
            "three": nn.Sequential(
                _Convolution(inputs, 192, 1), _Convolution(192, 320, 3, stride=2)
            ),
            "seven": nn.Sequential(
                _Convolution(inputs, 192, 1),
                _row(192, 192, 7),
                _column(192, 192, 7),
                _Convolution(192, 192, 3, stride=2),
            ),
            "pooled": nn.MaxPool2d(3, stride=2),
        }
    )


def _of_8(inputs: int) -> _Mixed:
    return _Mixed(
        {
            "one": _Convolution(inputs, 320, 1),
            "three": nn.Sequential(_Convolution(inputs, 384, 1), _split()),
            "three_twice": nn.Sequential(
                _Convolution(inputs, 448, 1), _Convolution(448, 384, 3, padding=1), _split()
            ),
            "pooled": _pooled(inputs, 192),
        }
    )


def _split() -> _Mixed:
    return _Mixed({"row": _row(384, 384, 3), "column": _column(384, 384, 3)})
