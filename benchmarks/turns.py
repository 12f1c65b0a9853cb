"""Time several things in turns, so that whatever else the machine does falls on all alike."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from machine import Device


@dataclass
class Times:
    """Wall and CPU seconds of each block, by the round that it was in."""

    block: int
    wall: dict[int, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many steps were timed."""
        return self.block * len(self.wall)

    @property
    def mean(self) -> float:
        """Seconds a step."""
        return sum(self.wall.values()) / self.count


@dataclass(frozen=True)
class Comparison:
    """Summed times over those of other blocks in the same rounds.

    Attributes:
        ratio: Of the sums of wall time.
        least: Of any one round.
        most: Of any one round.
        cpu: Ratio of the sums of CPU time, of all threads.
        added: Wall seconds a step.
        added_cpu: CPU seconds a step.
    """

    ratio: float
    least: float
    most: float
    cpu: float
    added: float
    added_cpu: float


def in_turns(
    steps: Mapping[str, Callable[[], object]],
    device: Device,
    *,
    rounds: int,
    block: int,
    seldom: Collection[str] = (),
    every: int = 1,
) -> dict[str, Times]:
    """Run blocks of steps in turns, in an order that changes, after a step of each unseen.

    Args:
        steps: What to time, by name.
        device: Where the steps run.
        rounds: Rounds of one block each.
        block: Steps in a block.
        seldom: Names that take part in every k-th round only.
        every: That k.
    """
    times = {name: Times(block) for name in steps}
    for step in steps.values():
        step()
    for turn in range(rounds):
        names = [name for name in steps if turn % every == 0 or name not in seldom]
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            device.synchronise()
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(block):
                steps[name]()
            device.synchronise()
            times[name].cpu[turn] = time.process_time() - cpu
            times[name].wall[turn] = time.perf_counter() - wall
    return times


def compared(own: Times, base: Times) -> Comparison:
    """Compare with the blocks of `base` in the same rounds."""
    wall, base_wall = sum(own.wall.values()), sum(base.wall[turn] for turn in own.wall)
    each = [seconds / base.wall[turn] for turn, seconds in own.wall.items()]
    cpu, base_cpu = sum(own.cpu.values()), sum(base.cpu[turn] for turn in own.cpu)
    return Comparison(
        ratio=wall / base_wall,
        least=min(each),
        most=max(each),
        cpu=cpu / base_cpu,
        added=(wall - base_wall) / own.count,
        added_cpu=(cpu - base_cpu) / own.count,
    )
