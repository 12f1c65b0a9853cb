"""The models that are timed, each with a batch of the size that people train on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Build = Callable[[], tuple[nn.Module, Tensor]]


@dataclass(frozen=True)
class Workload:
    """A model, its input, and how it is timed.

    Attributes:
        name: For the tables.
        build: Makes both, on the CPU.
        kind: `convolutional` and `transformer` have goals.
        delve: What the Delve package measures of it.
        rounds: Blocks of steps, unwatched and by default.
        block: Steps in a block.
        every: The other variants take part in every k-th round only; this is k.
    """

    name: str
    build: Build
    kind: str
    delve: str
    rounds: int
    block: int = 8
    every: int = 1


def vgg16(batch: int) -> Build:
    return lambda: (vgg16_model(), torch.randn(batch, 3, 32, 32))


def vgg16_model(*, narrower: int = 1) -> nn.Module:
    """VGG16 for images of 32×32, with its widths divided."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        width //= narrower
        if width:
            convolution = nn.Conv2d(channels, width, 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 // narrower, 10))


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def resnet18(batch: int, width: int) -> Build:
    """The ResNet18 of CIFAR, which begins without the two reductions of ImageNet's."""
    return lambda: (_resnet18(width), torch.randn(batch, 3, 32, 32))


def _resnet18(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)]
    layers.append(nn.ReLU())
    channels = width
    for times, stride in ((1, 1), (2, 2), (4, 2), (8, 2)):
        layers += [_Residual(channels, times * width, stride)]
        channels = times * width
        layers += [_Residual(channels, channels, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*layers, *head)


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def resnet50(batch: int) -> Build:
    """ImageNet's."""
    return lambda: (_resnet50(), torch.randn(batch, 3, 224, 224))


def _resnet50() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)]
    layers += [nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for position in range(depth):
            layers.append(_Bottleneck(channels, width, 1 if position else stride))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class _Block(nn.Module):
    """A GPT block, with attention whose projections are linear layers of their own."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.between(x))))  # type: ignore[no-any-return]


def gpt(depth: int, *, width: int, heads: int, batch: int, tokens: int) -> Build:
    """Blocks alone, without an embedding or a head."""

    def build() -> tuple[nn.Module, Tensor]:
        blocks = (_Block(width, heads) for _ in range(depth))
        return nn.Sequential(*blocks), torch.randn(batch, tokens, width)

    return build


def mlp(depth: int, *, width: int, batch: int) -> Build:
    def build() -> tuple[nn.Module, Tensor]:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(width, width), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(width, 10)), torch.randn(batch, width)

    return build


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(128, 256, num_layers=2, batch_first=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0])  # type: ignore[no-any-return]


def lstm() -> tuple[nn.Module, Tensor]:
    return _Recurrent(), torch.randn(64, 64, 128)


def tiny() -> tuple[nn.Module, Tensor]:
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)]
    return nn.Sequential(*layers), torch.randn(8, 3, 6, 6)


_BATCH = "the last batch only, in float64"
_STEP = "the last time step of each sequence only, of the last batch"

VGG16 = Workload(
    "VGG16, batch 64 at 32×32", vgg16(64), "convolutional", _BATCH, rounds=100, block=2, every=14
)

GPT = Workload(
    "GPT, 4 blocks of 256, 8×128 tokens",
    gpt(4, width=256, heads=8, batch=8, tokens=128),
    "transformer",
    _STEP,
    rounds=100,
    block=2,
    every=10,
)

# 200 steps where the default is judged, as it may read a layer at one call in 256 only. So that the
# whole ends in about a quarter of an hour, the 12 blocks get fewer, and ResNet18, of which a step
# takes twice that of VGG16, has half its width.
WORKLOADS = (
    VGG16,
    Workload(
        "ResNet18 of half width, batch 64 at 32×32",
        resnet18(64, 32),
        "convolutional",
        _BATCH,
        rounds=100,
        block=2,
        every=12,
    ),
    GPT,
    Workload(
        "GPT, 12 blocks of 256, 8×128 tokens",
        gpt(12, width=256, heads=8, batch=8, tokens=128),
        "transformer",
        _STEP,
        rounds=6,
        block=2,
        every=1,
    ),
    Workload(
        "MLP, 4 layers of 512, batch 256",
        mlp(4, width=512, batch=256),
        "plain",
        _BATCH,
        rounds=8,
        block=50,
        every=3,
    ),
    Workload(
        "LSTM, 2 layers of 256, 64×64 steps", lstm, "recurrent", _STEP, rounds=16, block=2, every=2
    ),
)

CUDA_VGG16 = Workload(
    "VGG16, batch 256 at 32×32", vgg16(256), "convolutional", _BATCH, rounds=20, block=20, every=4
)

CUDA_GPT = Workload(
    "GPT-2 small without its head, 256×128 tokens",
    gpt(12, width=768, heads=12, batch=256, tokens=128),
    "transformer",
    _STEP,
    rounds=10,
    block=20,
    every=5,
)

CUDA_WORKLOADS = (
    CUDA_VGG16,
    Workload(
        "ResNet50, batch 256 at 224×224",
        resnet50(256),
        "convolutional",
        _BATCH,
        rounds=10,
        block=20,
        every=5,
    ),
    CUDA_GPT,
)

TINY = Workload("CNN, tiny", tiny, "convolutional", _BATCH, rounds=2, block=2)
