"""A step of a training, and the figures of several trainings in turns."""

import copy
from collections.abc import Callable, Collection, Sequence

import torch
from machine import Device
from torch import Tensor, nn
from turns import Times, in_turns
from variants import VARIANTS, Close


def training_step(model: nn.Module, inputs: Tensor, device: Device) -> Callable[[], None]:
    """Return a step: forward, backward, SGD."""
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> None:
        with device.autocast():
            loss = model(inputs).float().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def trained_in_turns(
    model: nn.Module,
    inputs: Tensor,
    device: Device,
    names: Sequence[str],
    *,
    rounds: int,
    block: int,
    seldom: Collection[str] = (),
    every: int = 1,
) -> dict[str, Times]:
    """Time the steps of copies of a model, each watched in another way."""
    model, inputs = model.to(device.name), inputs.to(device.name)
    steps: dict[str, Callable[[], None]] = {}
    closes: list[Close] = []
    for name in names:
        own = copy.deepcopy(model)
        closes.append(VARIANTS[name](own, device.name))
        steps[name] = training_step(own, inputs, device)
    try:
        return in_turns(steps, device, rounds=rounds, block=block, seldom=seldom, every=every)
    finally:
        for close in closes:
            close()
