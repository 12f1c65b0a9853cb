"""Which rows are read, so that watching takes no more than a share of the training's arithmetic.

A layer is read at one call of every `period`, and there at every k-th position. Which call
and which position is drawn anew each time, so that every row of a window is as likely to count as
any other, whatever rhythm the data or the model has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from random import Random
from typing import NamedTuple, Self

from fathom.capture.rows import Rows, of_samples
from fathom.spectral.sketch import COLUMNS


class Cost(NamedTuple):
    """What watching costs, in the multiplications and additions that could be done meanwhile.

    Attributes:
        call: Of a call that is read, whatever its size.
        square: Of each of the d² products that it adds to, or d·l of a sketch.
        number: Of bringing a number of a feature map into rows; its neighbours lie far apart.
        near: Of a number whose neighbours are features of the same row.
        least: What a layer may cost at every call, however small it is.
        ahead: What a window may cost beyond its budget, so that short ones settle too.
    """

    call: float
    square: float
    number: float
    near: float
    least: float
    ahead: float


# On 2 cores at 190 GFlop/s, with an output that lies in no cache, a call takes 100 to 250 µs, and
# 250 µs more where d is 1,024; a number of a map 2 ns and of a token 0.3. 8 µs are a tenth of what
# the smallest layer itself takes for a step. 1 ms ahead becomes 5 in the course of 200 calls, as
# groups grow by and by.
_CPU = Cost(call=3e7, square=50, number=400, near=60, least=1.5e6, ahead=2e8)

# Not measured: 25 kernels of 8 µs and 3 TB/s, at 60 TFlop/s.
_GPU = Cost(call=1.2e10, square=600, number=240, near=60, least=6e8, ahead=6e10)

# How much faster a layer's own training multiplies than what is read of it: convolutions by other
# ways than one by one, and what reading takes out of the caches is missing there. Counted as equal,
# a budget of 0.02 took 4.5% of a VGG16's step, 4% of a ResNet18's and 3% of a GPT's.
_PACE_OF_MAPS = 2.75
_PACE_OF_ROWS = 1.75

# Of what a reading costs, at most a quarter may be the call itself: read more at fewer calls.
_CALL_SHARE = 1 / 4

_LONGEST_PERIOD = 256

# Rows per width that settle a reading, and some more, as rows of a sample are alike.
_ENOUGH = 25


class Plan(NamedTuple):
    """How a layer is read.

    Attributes:
        period: One call of so many, a power of 2.
        strides: One of so many positions, along each axis of the rows but the features.
        rows: The rows of a call for which this was planned.
        early: How many calls' budget may be spent ahead.
        enough: So many calls that are read settle the layer.
    """

    period: int
    strides: tuple[int, ...]
    rows: int
    early: int = 0
    enough: int = 0


def plan_of(rows: Rows, arithmetic: float, budget: float, *, sketched: bool = False) -> Plan:
    """Find what to read so that it costs a share of the layer's own training.

    Products of n rows take 2·n·d² operations, and 4·n·d·l of a sketch of l columns.

    Args:
        rows: What a call of the layer gives, all of it.
        arithmetic: What forward and backward of the call take, in operations.
        budget: The share.
        sketched: Whether the layer is too wide for its own products.

    Returns:
        The shortest period that leaves most of the cost to rows, and the strides that go with it.
    """
    values = rows.values
    cost = _CPU if values.device.type == "cpu" else _GPU
    count, width = values.shape[:-1].numel(), values.shape[-1]
    number = cost.near if values.stride(-1) == 1 else cost.number
    maps = values.stride(-1) != 1 or values.ndim > 3
    pace = _PACE_OF_MAPS if maps else _PACE_OF_ROWS
    allowed = max(budget * arithmetic / pace, cost.least)
    # A sketch's products are in float64: at 50,257 features it takes 20 ms a call for them.
    products = 3 * COLUMNS if sketched else width
    call = cost.call + cost.square * width * products + cost.near * rows.gathered
    each = width * ((4 * COLUMNS if sketched else 2 * width) + number)
    # Small layers are read whole, at fewer calls.
    wanted = min(call / _CALL_SHARE, call + count * each) / allowed
    period = 1
    while period < min(wanted, _LONGEST_PERIOD):
        period *= 2
    # Where the call alone takes more than the budget, rows that take as much again.
    share = max(period * allowed - call, call) / max(count * each, 1)
    strides = _strides(rows, share)
    enough = _ENOUGH * width * prod(strides) / max(count, 1)
    return Plan(period, strides, count, ceil(cost.ahead / allowed), ceil(enough))


def _strides(rows: Rows, share: float) -> tuple[int, ...]:
    """Spread a share of the rows evenly: over the positions of a sample first, which are alike."""
    values = rows.values
    axes = [axis for axis in range(values.ndim - 1) if axis != rows.batch_axis]
    lines = []
    if axes and values.stride(-1) != 1:
        # To leave out positions within a line of a map spares no memory access.
        lines = [axes.pop()]
    strides = [1] * (values.ndim - 1)
    left = 1 / share
    for axis in (*axes, rows.batch_axis, *lines):
        strides[axis] = max(1, min(values.shape[axis], ceil(left)))
        left /= strides[axis]
    return tuple(strides)


@dataclass(slots=True)
class Sampler:
    """Says of each call of a layer whether it is read, and which rows of it.

    The first calls of a window are all read, then one of 2, one of 4, and so on up to the period,
    so that a short window has a reading too. A row that is read stands for all that could have been
    read in its place, and so no part of a window counts for more than another.

    Attributes:
        seed: The layer, the phase and the window: the draws depend on nothing else.
        budget: The share of the layer's own training that reading it may take.
        plan: How it is read; None before the first call.
        seen: Calls so far.
        start: The first call of the present group, one of which is read.
        size: How many calls the group has.
    """

    seed: str
    budget: float
    plan: Plan | None = None
    seen: int = 0
    start: int = 0
    size: int = 1
    _draw: Random = field(init=False)
    _chosen: int = field(init=False)
    _end: int = field(init=False)

    def __post_init__(self) -> None:
        """Begin the present group."""
        self._begin()

    @classmethod
    def of(cls, seed: str, budget: float, numbers: Sequence[int]) -> Self:
        """Go on where another was.

        Args:
            seed: As it had.
            budget: The share.
            numbers: What its `numbers` returned.

        Returns:
            A sampler that decides as that one would have.
        """
        seen, start, size, *planned = numbers
        plan = None
        if planned:
            period, rows, early, enough, *strides = planned
            plan = Plan(period, tuple(strides), rows, early, enough)
        return cls(seed, budget, plan, seen, start, size)

    def numbers(self) -> list[int]:
        """Return what tells where this one is, but for its seed and budget."""
        numbers = [self.seen, self.start, self.size]
        if self.plan is not None:
            period, strides, *counts = self.plan
            numbers += [period, *counts, *strides]
        return numbers

    def reads(self) -> bool:
        """Count a call, and say whether it is read."""
        call = self.seen
        if call == self._end:
            self.start = call
            if self.plan is not None and self._may_thin_out(self.plan):
                self.size *= 2
            self._begin()
        self.seen = call + 1
        return call == self._chosen

    @property
    def weight(self) -> int:
        """How many rows each row stands for that is read at this call."""
        return self.size * prod(() if self.plan is None else self.plan.strides)

    def sample(self, rows: Rows, arithmetic: float, *, sketched: bool = False) -> Rows:
        """Return the rows of a call that are read.

        Args:
            rows: All of them.
            arithmetic: What forward and backward of the call take, in operations.
            sketched: Whether the layer is too wide for its own products.

        Returns:
            Views of a part.
        """
        values = rows.values
        plan = self.plan
        if plan is None or len(plan.strides) != values.ndim - 1 or _outgrown(plan, rows):
            plan = self.plan = plan_of(rows, arithmetic, self.budget, sketched=sketched)
        part = tuple(slice(self._draw.randrange(each), None, each) for each in plan.strides)
        rows = of_samples(rows, part[rows.batch_axis])
        # Packed sequences have rows of all samples on one axis, and some of most are read.
        if values.shape[rows.batch_axis] == rows.samples:
            taken = range(rows.samples)[part[rows.batch_axis]]
            rows = rows._replace(samples=len(taken))
        keep = rows.keep
        return rows._replace(values=values[part], keep=None if keep is None else keep[part])

    def _may_thin_out(self, plan: Plan) -> bool:
        """Tell whether groups may grow: when the layer is settled, or what was ahead is spent."""
        if self.size >= plan.period:
            return False
        settled = self.seen >= 2 * self.size * plan.enough
        return settled or self.size * (1 + plan.early / self.seen) < plan.period

    def _begin(self) -> None:
        self._draw = Random(f"{self.seed}/{self.start}")
        self._chosen = self.start + self._draw.randrange(self.size)
        self._end = self.start + self.size


def _outgrown(plan: Plan, rows: Rows) -> bool:
    """Tell whether calls have become so large that the plan takes more than it may."""
    return rows.values.shape[:-1].numel() > 2 * plan.rows
