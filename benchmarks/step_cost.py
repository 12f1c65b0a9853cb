"""How much a watched training step costs over the same step unwatched.

Blocks of steps, watched and unwatched, take turns in one process, and their summed times are
compared: the machine's other load then falls on both alike.

    .venv/bin/python benchmarks/step_cost.py
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import fathom

ROUNDS, STEPS = 6, 3


def vgg16() -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10)), torch.randn(64, 3, 32, 32)


def transformer() -> tuple[nn.Module, Tensor]:
    layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), torch.randn(16, 128, 256)


def mlp() -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Linear(512, 512), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(512, 10)), torch.randn(256, 512)


def main() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, every row")
    for build in (vgg16, transformer, mlp):
        ratios, unwatched, snapshot = measure(build)
        print(
            f"{build.__name__:12} step {unwatched * 1e3:7.1f} ms unwatched, watched over unwatched "
            f"{min(ratios):.3f} to {max(ratios):.3f}, snapshot {snapshot * 1e3:.0f} ms"
        )


def measure(build: Callable[[], tuple[nn.Module, Tensor]]) -> tuple[list[float], float, float]:
    model, inputs = build()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)

    def steps(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            loss = model(inputs).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return time.perf_counter() - start

    with fathom.watch(model) as monitor:
        steps(1)
        ratios, unwatched = [], 0.0
        for _ in range(ROUNDS):
            with monitor.pause():
                without = steps(STEPS)
            ratios.append(steps(STEPS) / without)
            unwatched += without
        start = time.perf_counter()
        monitor.snapshot(0)
        return ratios, unwatched / ROUNDS / STEPS, time.perf_counter() - start


if __name__ == "__main__":
    main()
