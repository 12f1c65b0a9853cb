"""What a call costs on which nothing is observed."""

import copy
from typing import Any

import torch
from machine import Device
from report import Goal, Section
from torch import nn
from turns import compared, in_turns

import fathom

_LAYERS = 100

# Calls after which the default reads as seldom as it ever does.
_SETTLED = 2000

_TEXT = """\
A forward pass through {layers} small linear layers, of which fathom observes the first call alone
(`every=10**9`): microseconds a layer over the same pass unwatched, of summed times and of the least
and the most of any round; and with a forward hook on every layer that does nothing. The last line
is the default, which reads one call of each layer in 32 here, and passes the others over."""


def section(device: Device, *, rounds: int, block: int) -> Section:
    """Time forward passes."""
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(_LAYERS))).to(device.name)
    inputs = torch.randn(8, 8, device=device.name)
    hooked, watched, sampled = (copy.deepcopy(model) for _ in range(3))
    for layer in hooked:
        layer.register_forward_hook(_nothing)
    models = {
        "unwatched": model,
        "empty hook": hooked,
        "fathom, skipped": watched,
        "fathom, default": sampled,
    }
    with fathom.watch(watched, every=10**9), fathom.watch(sampled), torch.no_grad():
        for _ in range(_SETTLED):
            sampled(inputs)
        steps = {name: (lambda own=each: own(inputs)) for name, each in models.items()}
        times = in_turns(steps, device, rounds=rounds, block=block)
    base = times.pop("unwatched")
    to_microseconds = 1e6 * base.mean / _LAYERS
    rows, added = [], {}
    for name, own in times.items():
        found = compared(own, base)
        added[name] = 1e6 * found.added / _LAYERS
        least, most = ((ratio - 1) * to_microseconds for ratio in (found.least, found.most))
        spread, cpu = f"{least:.2f} to {most:.2f}", f"{1e6 * found.added_cpu / _LAYERS:.2f}"
        rows.append((name, f"{own.count}", f"{added[name]:.2f}", spread, cpu))
    goal = Goal("a step on which nothing is observed, µs a layer", added["fathom, skipped"], 2)
    columns = ("", "passes", "µs a layer", "rounds", "CPU time, µs")
    return Section("A call that is skipped", _TEXT.format(layers=_LAYERS), columns, rows, [goal])


def _nothing(module: nn.Module, args: Any, output: Any) -> None:
    pass
