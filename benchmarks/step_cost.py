"""How much a watched training step costs over the same step unwatched.

Every variant trains a copy of the same model. Blocks of steps of all variants take turns in one
process, in an order that changes, and their summed times are compared: whatever else the machine
does falls on all alike.

    .venv/bin/python benchmarks/step_cost.py [words of a workload's name] [--only exact,floor]
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from variants import VARIANTS
from workloads import WORKLOADS, Workload


@dataclass
class Times:
    """Of each block: wall and CPU seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure(workload: Workload, names: Sequence[str]) -> dict[str, Times]:
    """Time the steps of some variants, in turns."""
    torch.manual_seed(0)
    model, inputs = workload.build()
    trained, closes = {}, []
    for name in names:
        trained[name] = _step(copy.deepcopy(model), inputs, name, closes)
    times = {name: Times() for name in names}
    for step in trained.values():
        step()
    for block in range(workload.blocks):
        turn = block % len(names)
        for name in (*names[turn:], *names[:turn]):
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(workload.block):
                trained[name]()
            times[name].wall.append(time.perf_counter() - wall)
            times[name].cpu.append(time.process_time() - cpu)
    for close in closes:
        close()
    return times


def _step(
    model: nn.Module, inputs: Tensor, name: str, closes: list[Callable[[], object]]
) -> Callable[[], None]:
    closes.append(VARIANTS[name](model))
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step() -> None:
        loss = model(inputs).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def ratios(times: dict[str, Times], name: str) -> tuple[float, float, float]:
    """Summed time over that of unwatched steps, and the least and most of any block."""
    base, own = times["unwatched"].wall, times[name].wall
    each = [one / other for one, other in zip(own, base, strict=True)]
    return sum(own) / sum(base), min(each), max(each)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--blocks", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    for workload in WORKLOADS:
        if not all(word in workload.name for word in arguments.words):
            continue
        names = ["unwatched", *(n for n in arguments.only.split(",") if n != "unwatched")]
        times = measure(workload, names)
        step = sum(times["unwatched"].wall) / workload.block / workload.blocks
        print(f"{workload.name}: {step * 1e3:.1f} ms a step unwatched")
        for name in names[1:]:
            all_in_all, least, most = ratios(times, name)
            cpu = sum(times[name].cpu) / sum(times["unwatched"].cpu)
            print(f"  {name:8} {all_in_all:.3f} ({least:.3f} to {most:.3f}), CPU {cpu:.3f}")


if __name__ == "__main__":
    main()
