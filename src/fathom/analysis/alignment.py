"""Linear CKA of pairs of layers, from the Gram matrices of each batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fathom.analysis.blocks import Block
from fathom.analysis.positions import Positions
from fathom.analysis.sources import Item, Shape
from fathom.errors import ArgumentError
from fathom.spectral.hsic import LEAST_SAMPLES, centred_pairs, linear_gram

_EPS = torch.finfo(torch.float32).eps

_PIECE = 2**20
"""Numbers of an output that are worked on at once, at most."""

_COPIES = 24
"""Bytes that work on a number of a piece takes: itself, itself about the mean, and for the mean."""

_MATRICES = 5
"""Copies of a Gram matrix while one is centred."""


class Compared(NamedTuple):
    """What came of a block.

    Attributes:
        values: (rows, columns) float64.
        mirrored: (columns, rows), with the parts of both changed.
        constant: Layers without a similarity, as they do not vary.
    """

    values: Tensor
    mirrored: Tensor
    constant: frozenset[Item]


class Grams(NamedTuple):
    """One layer, one batch.

    Attributes:
        pairs: (n(n-1)/2,) as of `centred_pairs`.
        spread: The squares of features about their mean, summed.
        level: Those of their mean.
    """

    pairs: Tensor
    spread: float
    level: float


class Alignment:
    """The method `cka`."""

    least_samples = LEAST_SAMPLES

    def __init__(self, shapes: Mapping[Item, Shape], device: torch.device, memory: int):
        """Take what is known before the first pass.

        Args:
            shapes: Of each layer.
            device: Where to compare.
            memory: In bytes. A quarter is for an output that is worked on.
        """
        samples = max(shape.samples for shape in shapes.values())
        self._piece = min(_PIECE, memory // (4 * _COPIES))
        self._matrices = 8 * _MATRICES * samples**2
        self._shapes = shapes
        self._device = device

    def room(self, memory: int) -> int:
        """Return what is left for blocks of so many bytes, beside an output and its Gram matrix."""
        return memory * 3 // 4 - self._matrices

    def memory_for(self, room: int) -> int:
        """Return how many bytes leave so much room."""
        return -(-(room + self._matrices) * 4 // 3)

    def cost(self, block: Block) -> int:
        """Return the bytes that a block takes: vectors of pairs, and one copy, of each layer."""
        samples = self._shapes[block.items[0]].samples
        return 8 * samples * (samples - 1) * len(block.items) + 8 * len(block.rows) * len(
            block.columns
        )

    def reduce(self, given: Positions) -> Grams:
        """Return what is kept of a layer's output: a feature is a channel at a position.

        Raises:
            ArgumentError: If a feature is not finite.
        """
        # Inner products are sums over features, so that a large output is never copied whole.
        gram: Tensor | float = 0.0
        squares = 0.0
        for values, keep in _pieces(given, self._piece):
            features = values if keep is None else _without_padding(values, keep)
            features = features.flatten(1)
            gram = linear_gram(features) + gram
            squares += float(features.mean(0, dtype=torch.float32).square().sum())
        assert isinstance(gram, Tensor)
        if not bool(gram.isfinite().all()):
            raise ArgumentError("its numbers must be finite, got nan or infinity.")
        spread = float(gram.diagonal().sum())
        return Grams(centred_pairs(gram).to(self._device), spread, len(gram) * squares)

    def joined(self, calls: Sequence[Grams]) -> Grams:
        """Return several calls of a layer in one pass as if they were further positions."""
        if len(calls) == 1:
            return calls[0]
        pairs, spreads, levels = zip(*calls, strict=True)
        return Grams(torch.stack(pairs).sum(0), sum(spreads), sum(levels))

    def begin(self, block: Block) -> "_Sums":
        """Begin a pass over the data."""
        return _Sums(block, self._device)


class _Sums:
    def __init__(self, block: Block, device: torch.device):
        self._block = block
        self._between = torch.zeros(
            len(block.rows), len(block.columns), dtype=torch.float64, device=device
        )
        self._own = {item: _Own() for item in block.items}

    def update(self, found: Mapping[Item, Grams], samples: int) -> None:
        # Batches count by their samples; of equal batches this is the plain mean of the papers.
        weight = 2 / (samples - 3)
        rows = torch.stack([found[item].pairs for item in self._block.rows])
        columns = rows
        if not self._block.is_square:
            columns = torch.stack([found[item].pairs for item in self._block.columns])
        self._between.addmm_(rows, columns.T, alpha=weight)
        for item, own in self._own.items():
            own.add(found[item], samples=samples, weight=weight)

    def result(self) -> Compared:
        constant = frozenset(item for item, own in self._own.items() if own.is_constant())
        rows, columns = (
            torch.tensor(
                [0.0 if item in constant else self._own[item].hsic ** -0.5 for item in items],
                dtype=torch.float64,
                device=self._between.device,
            )
            for items in (self._block.rows, self._block.columns)
        )
        values = (rows[:, None] * self._between * columns).clamp(-1, 1)
        return Compared(values, values.T, constant)


@dataclass(slots=True)
class _Own:
    """Sums of a layer with itself."""

    hsic: float = 0.0
    largest: float = 0.0
    spread: float = 0.0
    level: float = 0.0

    def add(self, grams: Grams, *, samples: int, weight: float) -> None:
        self.hsic += weight * float(grams.pairs @ grams.pairs)
        self.largest += samples * (grams.spread / samples) ** 2
        self.spread += grams.spread
        self.level += grams.level

    def is_constant(self) -> bool:
        """Tell whether all samples are the same, or all pairs equally far apart, up to rounding."""
        if self.spread <= (2 * _EPS) ** 2 * self.level:
            return True
        return self.hsic <= (64 * _EPS) ** 2 * self.largest


def _pieces(given: Positions, most: int) -> Iterator[Positions]:
    """Cut an output into pieces of at most so many numbers, or a single feature of all samples."""
    values, keep = given
    samples, positions, width = values.shape
    many = min(positions, max(1, most // (samples * width)))
    across = max(1, most // (samples * many))
    for first in range(0, positions, many):
        real = None if keep is None else keep[:, first : first + many]
        for start in range(0, width, across):
            yield Positions(values[:, first : first + many, start : start + across], real)


def _without_padding(values: Tensor, keep: Tensor) -> Tensor:
    """Return values about their mean over real positions, and 0 at padded ones."""
    values = values.double() if values.dtype == torch.float64 else values.float()
    real = keep[..., None]
    count = real.sum(0).clamp(min=1)
    # What is at padded positions may be anything, nan included.
    mean = torch.where(real, values, 0).sum(0) / count
    return torch.where(real, values - mean, 0)
