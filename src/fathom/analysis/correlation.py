"""SVCCA and PWCCA of pairs of layers, from cross-covariances over all batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fathom.analysis.alignment import Compared
from fathom.analysis.blocks import Block
from fathom.analysis.positions import Positions
from fathom.analysis.sources import Item, Shape
from fathom.capture.layers import home_of
from fathom.errors import ArgumentError, warn
from fathom.spectral.canonical import (
    Leading,
    canonical_correlations,
    leading,
    mean_correlation,
    projection_weighted,
)
from fathom.spectral.cross import CrossScatter

_ENOUGH = 5
"""Rows a direction: the reference code of SVCCA asks for five to ten times as many."""

Names = Callable[[Item], str]


class Held(NamedTuple):
    """What is held of a layer's output until the batch is done.

    Attributes:
        values: (b, p, d) float64.
        keep: (b, p) bool, or None.
        resolution: The relative step of the type that they came in.
    """

    values: Tensor
    keep: Tensor | None
    resolution: float


class Correlation:
    """The methods `svcca` and `pwcca`."""

    least_samples = 1

    def __init__(
        self,
        shapes: Mapping[Item, Shape],
        device: torch.device,
        *,
        threshold: float,
        weighted: bool,
        name: Names,
    ):
        """Take what is known before the first pass.

        Args:
            shapes: Of each layer.
            device: Where to compare.
            threshold: The share of the variance that directions carry which are compared.
            weighted: Whether correlations are weighted by projection.
            name: Of a layer, for messages.
        """
        self._shapes = shapes
        self._device = device
        self.threshold = threshold
        self.weighted = weighted
        self.name = name

    def room(self, memory: int) -> int:
        """Return what is left for blocks of so many bytes: all of it."""
        return memory

    def memory_for(self, room: int) -> int:
        """Return how many bytes leave so much room."""
        return room

    def cost(self, block: Block) -> int:
        """Return the bytes that a block takes: covariances, and three copies of the batch."""
        numbers = 0
        for group in _groups(block, self._shapes):
            rows, columns = (
                sum(self._shapes[item].width for item in items)
                for items in (group.rows, group.columns)
            )
            own = sum(self._shapes[item].width ** 2 for item in group.items)
            numbers += rows * columns + own
        held = sum(
            shape.samples * shape.positions * shape.width
            for shape in (self._shapes[item] for item in block.items)
        )
        return 8 * (numbers + 3 * held)

    def reduce(self, given: Positions) -> Held:
        """Return what is kept of a layer's output: rows are positions, or their mean.

        Raises:
            ArgumentError: If a feature is not finite.
        """
        values, keep = given
        # What is at padded positions may be anything, nan included.
        if keep is not None:
            values = torch.where(keep[..., None], values, 0)
            keep = keep.to(self._device)
        if not bool(values.isfinite().all()):
            raise ArgumentError("its numbers must be finite, got nan or infinity.")
        resolution = torch.finfo(values.dtype).eps
        # A copy, as an activation in place is about to overwrite it.
        held = values.to(home_of(values.device)).to(self._device, torch.float64, copy=True)
        return Held(held, keep, resolution)

    def joined(self, calls: Sequence[Held]) -> Held:
        """Return several calls of a layer in one pass as further positions."""
        if len(calls) == 1:
            return calls[0]
        keeps = [
            torch.ones(call.values.shape[:2], dtype=torch.bool, device=self._device)
            if call.keep is None
            else call.keep
            for call in calls
        ]
        values = torch.cat([call.values for call in calls], dim=1)
        return Held(values, torch.cat(keeps, dim=1), calls[0].resolution)

    def begin(self, block: Block) -> "_Sums":
        """Begin a pass over the data."""
        return _Sums(self, block, self._shapes, self._device)


class _Group(NamedTuple):
    """Layers of a block whose rows are taken in one way."""

    rows: tuple[Item, ...]
    columns: tuple[Item, ...]
    pooled: bool

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(dict.fromkeys((*self.rows, *self.columns)))

    def has(self, row: Item, column: Item, *, pooled: bool) -> bool:
        return self.pooled == pooled and row in self.rows and column in self.columns


def _groups(block: Block, shapes: Mapping[Item, Shape]) -> list[_Group]:
    """Return how a block's pairs are taken: by position where both layers have as many."""
    found = []
    for count in dict.fromkeys(shapes[item].positions for item in block.rows):
        rows = tuple(item for item in block.rows if shapes[item].positions == count)
        columns = tuple(item for item in block.columns if shapes[item].positions == count)
        if columns:
            found.append(_Group(rows, columns, pooled=False))
    if len({shapes[item].positions for item in block.items}) > 1:
        found.append(_Group(block.rows, block.columns, pooled=True))
    return found


class _Sums:
    def __init__(
        self,
        method: Correlation,
        block: Block,
        shapes: Mapping[Item, Shape],
        device: torch.device,
    ):
        self._method = method
        self._block = block
        self._shapes = shapes
        self._parts = [_Part(group, shapes, device) for group in _groups(block, shapes)]

    def update(self, found: Mapping[Item, Held], samples: int) -> None:
        for part in self._parts:
            part.update(found, self._method.name)

    def result(self) -> Compared:
        rows, columns = self._block.rows, self._block.columns
        values = torch.zeros(len(rows), len(columns), dtype=torch.float64)
        mirrored = torch.zeros(len(columns), len(rows), dtype=torch.float64)
        known = [part.leading(self._method.threshold) for part in self._parts]
        constant = {item for each in known for item, found in each.items() if found.dimension == 0}
        fewest = (float("inf"), "")
        for place, row in enumerate(rows):
            for column_place, column in enumerate(columns):
                if row in constant or column in constant:
                    continue
                equal = self._shapes[row].positions == self._shapes[column].positions
                number, part = next(
                    (number, part)
                    for number, part in enumerate(self._parts)
                    if part.group.has(row, column, pooled=not equal)
                )
                a, b = known[number][row], known[number][column]
                fewest = min(fewest, self._enough(row, column, part.cross.count, a, b))
                correlations = canonical_correlations(part.between(row, column), a, b)
                if self._method.weighted:
                    value = projection_weighted(correlations, a, b)
                    swapped = correlations._replace(of_a=correlations.of_b, of_b=correlations.of_a)
                    mirror = projection_weighted(swapped, b, a)
                else:
                    value = mirror = mean_correlation(correlations)
                values[place, column_place], mirrored[column_place, place] = value, mirror
        if fewest[0] < _ENOUGH:
            warn(
                f"similarity: correlations are too high from few rows: {fewest[1]}. Give at least "
                f"{_ENOUGH} times as many rows as directions, a lower threshold, or method='cka'."
            )
        return Compared(values, mirrored, frozenset(constant))

    def _enough(
        self, row: Item, column: Item, rows: int, a: Leading, b: Leading
    ) -> tuple[float, str]:
        together = a.dimension + b.dimension
        words = (
            f"{rows} of {a.dimension} directions of {self._method.name(row)} and {b.dimension} of "
            f"{self._method.name(column)}"
        )
        # n rows leave n - 1 directions about their mean, and two sets that do not fit beside each
        # other in these have directions in common, whatever the data are.
        if rows - 1 < together:
            raise ArgumentError(
                f"similarity: data must give more rows than both layers have directions, got "
                f"{words}. Give more data, a lower threshold with method='svcca', or "
                "method='cka', which needs no more samples than features."
            )
        return rows / together, words


class _Part:
    """The sums of a group."""

    def __init__(self, group: _Group, shapes: Mapping[Item, Shape], device: torch.device):
        self.group = group
        self._places = [_places(items, shapes) for items in (self.group.rows, self.group.columns)]
        row_width, column_width = (
            sum(shapes[item].width for item in items) for items in (group.rows, group.columns)
        )
        self.cross = CrossScatter(row_width, column_width, device=device)
        self._own = {
            item: CrossScatter(shapes[item].width, shapes[item].width, device=device)
            for item in group.items
        }
        self._resolution: dict[Item, float] = {}

    def update(self, found: Mapping[Item, Held], name: Names) -> None:
        held = {item: found[item] for item in self.group.items}
        views = _pooled(held) if self.group.pooled else _by_position(held, name)
        for item, view in views.items():
            self._own[item].update(view, view)
            self._resolution[item] = held[item].resolution
        rows, columns = (
            torch.cat([views[item] for item in items], 1)
            for items in (self.group.rows, self.group.columns)
        )
        self.cross.update(rows, columns)

    def leading(self, threshold: float) -> dict[Item, Leading]:
        return {
            item: leading(
                own.scatter / max(own.count, 1),
                own.mean_a,
                threshold=threshold,
                resolution=self._resolution[item],
            )
            for item, own in self._own.items()
        }

    def between(self, row: Item, column: Item) -> Tensor:
        rows, columns = self._places[0][row], self._places[1][column]
        return self.cross.scatter[rows, columns] / self.cross.count


def _places(items: Sequence[Item], shapes: Mapping[Item, Shape]) -> dict[Item, slice]:
    found, start = {}, 0
    for item in items:
        found[item] = slice(start, start + shapes[item].width)
        start += shapes[item].width
    return found


def _pooled(held: Mapping[Item, Held]) -> dict[Item, Tensor]:
    found = {}
    for item, (values, keep, _) in held.items():
        if keep is None:
            found[item] = values.mean(1)
        else:
            found[item] = values.sum(1) / keep.sum(1, keepdim=True).clamp(min=1)
    return found


def _by_position(held: Mapping[Item, Held], name: Names) -> dict[Item, Tensor]:
    (first, one), *others = held.items()
    for item, other in others:
        if other.values.shape[:2] != one.values.shape[:2]:
            raise ArgumentError(
                "similarity: layers must have as many positions as each other in every batch, got "
                f"{one.values.shape[1]} of {name(first)} and {other.values.shape[1]} of "
                f"{name(item)}, which had as many in the first. Compare them with method='cka'."
            )
    keeps = [each.keep for each in held.values() if each.keep is not None]
    if not keeps:
        return {item: each.values.flatten(0, 1) for item, each in held.items()}
    keep = torch.stack(keeps).all(0).flatten()
    return {item: each.values.flatten(0, 1)[keep] for item, each in held.items()}
