"""Pairs of layers that are compared at once, and in how many passes within a bound of memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fathom.analysis.sources import Item
from fathom.errors import ArgumentError
from fathom.text import size


@dataclass(frozen=True, slots=True)
class Block:
    """Each of some layers with each of some others.

    Attributes:
        rows: Layers.
        columns: Layers; the same ones where each is compared with each.
    """

    rows: tuple[Item, ...]
    columns: tuple[Item, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """All layers, each once."""
        return tuple(dict.fromkeys((*self.rows, *self.columns)))

    @property
    def is_square(self) -> bool:
        """Whether rows and columns are the same, so that a part lies on both sides."""
        return self.rows == self.columns

    def parts(self) -> list["Block"]:
        """Return smaller blocks that have every pair, one of a pair and its mirror image alone."""
        if self.is_square:
            first, second = _halves(self.rows)
            return [Block(first, first), Block(first, second), Block(second, second)]
        if len(self.rows) >= len(self.columns):
            return [Block(half, self.columns) for half in _halves(self.rows)]
        return [Block(self.rows, half) for half in _halves(self.columns)]


def passes(
    blocks: Iterable[Block],
    cost: Callable[[Block], int],
    *,
    memory: int,
    room: int,
    memory_for: Callable[[int], int],
) -> list[list[Block]]:
    """Arrange blocks in passes over the data, and split those that are too large.

    Args:
        blocks: What is to be compared.
        cost: The bytes that a block takes in a pass.
        memory: The bytes that were given.
        room: Those of them that the blocks of a pass may take.
        memory_for: How many must be given for so much room.

    Returns:
        The blocks of each pass.

    Raises:
        ArgumentError: If a single pair takes more; the message says how much.
    """
    found: list[list[Block]] = []
    free = 0
    waiting = list(blocks)[::-1]
    while waiting:
        block = waiting.pop()
        need = cost(block)
        if need > room:
            if len(block.rows) == len(block.columns) == 1:
                least = memory_for(need)
                raise ArgumentError(
                    f"similarity: memory must be at least {size(least)} for {block.rows[0][1]} and "
                    f"{block.columns[0][1]}, got {size(memory)}. Give memory={least} bytes, or "
                    "smaller batches."
                )
            waiting += block.parts()[::-1]
            continue
        if not found or need > free:
            found.append([])
            free = room
        found[-1].append(block)
        free -= need
    return found


def _halves(items: Sequence[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    middle = (len(items) + 1) // 2
    return tuple(items[:middle]), tuple(items[middle:])
