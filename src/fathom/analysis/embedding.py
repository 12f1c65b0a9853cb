"""Samples in the first two eigendirections of each layer, as data and as a picture."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fathom.analysis.batches import Unpack, batches, call, class_numbers
from fathom.analysis.outputs import frozen, outputs_of
from fathom.analysis.positions import positions_of
from fathom.analysis.randomness import same_randomness
from fathom.analysis.source import Given, directed
from fathom.capture.layers import Layer
from fathom.capture.modules import unwrapped
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError, ShapeError, near
from fathom.extras import require
from fathom.markup import Number, html_table
from fathom.spectral.directions import Directions
from fathom.text import columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WHERE = "embed"


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Embedding:
    """Samples in the first two eigendirections of each layer.

    Attributes:
        coordinates: (n, 2) by layer, in execution order, about the layer's mean and in activation
            units; of a layer of width 1, the second are 0.
        shares: By layer, the shares of its variance along the two.
        labels: (n,) the classes of the samples; None where the data have none.
    """

    coordinates: Mapping[str, NDArray[np.float64]]
    shares: Mapping[str, tuple[float, float]]
    labels: NDArray[np.int64] | None = None

    def plot(
        self, layer: str | None = None, *, ax: "Axes | None" = None, theme: str | None = None
    ) -> "Axes":
        """Draw the samples of a layer as a scatter plot, coloured by class.

        Args:
            layer: Its name; None for the last.
            ax: Where to draw; None for a figure of its own.
            theme: `light` or `dark`.

        Returns:
            The axes.

        Raises:
            ArgumentError: If there is no such layer, or the theme is none.
            MissingExtraError: If matplotlib is not installed.
        """
        require("matplotlib", extra="plots")
        from fathom.views.plots.embedding import draw_embedding

        name = list(self.coordinates)[-1] if layer is None else layer
        if name not in self.coordinates:
            raise ArgumentError(
                f"{_WHERE}: layer must be one that was embedded, got {layer!r}. "
                f"{near(name, list(self.coordinates))}"
            )
        return draw_embedding(
            self.coordinates[name], self.labels, self.shares[name], layer=name, ax=ax, theme=theme
        )

    def __repr__(self) -> str:
        """Say in a line what it is of."""
        count = len(next(iter(self.coordinates.values())))
        return f"Embedding({count} samples, {len(self.coordinates)} layers)"

    def __str__(self) -> str:
        """Write a line a layer."""
        return f"{columns([_HEAD, *self._rows()], right=frozenset({1, 2, 3}))}\n{self!r}"

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        rows = [[row[0], *map(Number, row[1:])] for row in self._rows()]
        return html_table(_HEAD, rows, title=repr(self))

    def _rows(self) -> list[Sequence[str]]:
        return [
            (layer or "(model)", *(f"{each:.1%}" for each in (*shares, sum(shares))))
            for layer, shares in self.shares.items()
        ]


_HEAD = ("layer", "first direction", "second", "both")


def embed(
    model: nn.Module,
    data: Any,
    source: Given,
    *,
    layers: LayerFilter | None = None,
    samples: int = 1000,
    phase: str | None = None,
    step: int | None = None,
    unpack: Unpack | None = None,
) -> Embedding:
    """Return samples in the first two eigendirections of each layer, about its mean.

    A sample that has several rows, such as positions of a feature map or steps of a sequence, lies
    at the mean of its projected rows; padded ones do not count, where a batch names its mask. The
    model is in eval mode meanwhile, and afterwards as it was.

    Args:
        model: The root, wrapped or not.
        data: As of `fathom.probe`, with labels or without: a `DataLoader`, a dataset, a tuple of
            tensors `(x, y)`, a tensor. Its first samples are taken, in its own order.
        source: Where the directions come from, as in `fathom.project`.
        layers: As in `fathom.project`.
        samples: How many are taken.
        phase: As in `fathom.project`.
        step: As in `fathom.project`.
        unpack: As in `fathom.probe`; labels may be None.

    Returns:
        Coordinates by layer, with labels and the share of the variance of both directions.

    Raises:
        ArgumentError: If an argument is outside its rule, or a layer is not called.
        ShapeError: If a layer returns something else than a row or more for each sample.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ArgumentError(
            f"{_WHERE}: samples must be a whole number >= 1, got {samples!r}. Pass 1000."
        )
    found = directed(model, source, layers, phase=phase, step=step, where=_WHERE)
    places = {name: _Places(each) for name, each in found.directions.items()}
    labels: list[Tensor | None] = []
    count = 0
    root = unwrapped(model)

    def receive(layer: Layer, output: Any, real: Tensor | None) -> None:
        places[layer.facts.name].add(layer, output, real)

    with ExitStack() as stack:
        stack.enter_context(same_randomness(data))
        stack.enter_context(frozen(model))
        stack.enter_context(outputs_of(root, found.layers, receive))
        for batch in batches(data, root, where=f"{_WHERE}: data", unpack=unpack):
            classes = None
            if batch.labels is not None:
                classes = class_numbers(batch.labels, where=f"{_WHERE}: data")
            call(root, batch.inputs)
            here = None if classes is None else len(classes)
            taken = [each.end(name, here) for name, each in places.items()]
            labels.append(classes)
            count += taken[0]
            if count >= samples:
                break
    if not count:
        raise ArgumentError(f"{_WHERE}: data must have a sample, got none. Pass (x, y).")
    known = [each for each in labels if each is not None]
    return Embedding(
        {name: each.coordinates()[:samples] for name, each in places.items()},
        {name: _shares(each) for name, each in found.directions.items()},
        torch.cat(known).numpy()[:samples] if len(known) == len(labels) else None,
    )


class _Places:
    """Where the samples of one layer lie."""

    def __init__(self, directions: Directions):
        self._mean = directions.mean
        self._vectors = directions.vectors[:, :2]
        self._calls: list[Tensor] = []
        self._batches: list[Tensor] = []

    def add(self, layer: Layer, output: Any, real: Tensor | None) -> None:
        """Take a call of the layer."""
        rows, keep = positions_of(layer, output, real)
        if rows.shape[-1] != len(self._mean):
            raise ShapeError(
                f"{_WHERE}: layer {layer.facts.name} must have width {len(self._mean)}, as in the "
                f"source, got {rows.shape[-1]}. Pass the model that was watched."
            )
        if keep is not None:
            rows = rows.masked_fill(~keep[..., None].to(rows.device), 0)
        counted = rows.shape[1] if keep is None else keep.sum(1, keepdim=True).cpu()
        # The mean of projected rows is the projection of their mean.
        means = rows.sum(1, dtype=_widest(rows)).cpu().double() / counted
        self._calls.append((means - self._mean) @ self._vectors)

    def end(self, name: str, count: int | None) -> int:
        """End a batch of so many samples, and return how many there were."""
        calls, self._calls = self._calls, []
        if not calls:
            raise ArgumentError(
                f"{_WHERE}: layers must be called by the model, got {name!r} that was not. Leave "
                f'it out with layers=["*", "!{name}"].'
            )
        found = {len(each) for each in calls} | ({count} if count is not None else set())
        if len(found) != 1:
            raise ShapeError(
                f"{_WHERE}: layer {name} must return one item for each sample, got "
                f"{sorted(len(each) for each in calls)} for {count} labels. Leave it out with "
                f'layers=["*", "!{name}"].'
            )
        self._batches.append(torch.stack(calls).mean(0))
        return len(calls[0])

    def coordinates(self) -> NDArray[np.float64]:
        """Return (n, 2)."""
        found = torch.cat(self._batches)
        if found.shape[1] == 1:
            found = torch.cat([found, torch.zeros_like(found)], 1)
        return found.numpy()


def _widest(rows: Tensor) -> torch.dtype:
    # Apple's GPUs hold no float64.
    return torch.float32 if rows.device.type == "mps" else torch.float64


def _shares(directions: Directions) -> tuple[float, float]:
    total = float(directions.eigenvalues.sum())
    first, second = (*directions.eigenvalues[:2].tolist(), 0.0)[:2]
    return (first / total, second / total) if total > 0 else (0.0, 0.0)
