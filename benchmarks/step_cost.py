"""How much a watched training step costs over the same step unwatched.

Every variant trains a copy of the same model. Blocks of steps of all variants take turns in one
process, in an order that changes, and their summed times are compared: whatever else the machine
does falls on all alike.

    .venv/bin/python benchmarks/step_cost.py [words of a workload's name] [--only exact,floor]
"""

import argparse
import copy
import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from variants import VARIANTS
from workloads import WORKLOADS, Workload

HEAD = """\
# What a watched training step costs

A step is forward, backward and SGD. Each variant trains a copy of the same model; blocks of steps
take turns in one process, and a ratio is that of summed times over the same steps unwatched, with
the least and the most of any block beside it. Written by `make bench`, on a shared machine.

{machine}, {cores} cores, 2 threads, torch {torch}, CPU. GPU: not measured.

- **exact**: fathom, every row of every layer (`fathom.watch(model)`).
- **floor**: the float32 products of the same rows alone, brought into rows and columns first.
- **delve**: the Delve package 0.1.50. It keeps the covariance of the last batch only, and of a
  sequence it reads the last time step only, so on the GPT and the LSTM it does far less work.

| workload | step, ms | variant | ratio | blocks | CPU time | added, ms |
|---|---|---|---|---|---|---|"""


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


def row(workload: Workload, times: dict[str, Times], name: str) -> str:
    """Return a line of the table of results."""
    all_in_all, least, most = ratios(times, name)
    cpu = sum(times[name].cpu) / sum(times["unwatched"].cpu)
    step = sum(times["unwatched"].wall) / workload.block / workload.blocks
    added = 1e3 * step * (all_in_all - 1)
    return (
        f"| {workload.name} | {1e3 * step:.1f} | {name} | {all_in_all:.3f} | {least:.3f} to "
        f"{most:.3f} | {cpu:.3f} | {added:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--write", type=Path, help="write the table here, with the machine's facts")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    logging.disable()
    names = ["unwatched", *(n for n in arguments.only.split(",") if n != "unwatched")]
    lines = [HEAD.format(cores=os.cpu_count(), machine=machine(), torch=torch.__version__)]
    print(lines[0])
    for workload in WORKLOADS:
        if all(word in workload.name for word in arguments.words):
            times = measure(workload, names)
            lines += [row(workload, times, name) for name in names[1:]]
            print("\n".join(lines[1 - len(names) :]), flush=True)
    if arguments.write:
        arguments.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


def machine() -> str:
    """Return the name of the processor."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
