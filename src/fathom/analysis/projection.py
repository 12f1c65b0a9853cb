"""A model whose layers keep only their leading directions, for as long as a block lasts."""

import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from operator import index
from types import TracebackType
from typing import Self

from torch import nn

from fathom.analysis.outputs import uncompiled, unwatched
from fathom.analysis.projector import Projector, check_projectable
from fathom.analysis.source import Directed, Given, directed
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError, near
from fathom.spectral.directions import Directions
from fathom.spectral.vectors import check_threshold
from fathom.text import columns

_WHERE = "project"


def project(
    model: nn.Module,
    source: Given,
    *,
    threshold: float = 0.99,
    layers: LayerFilter | None = None,
    random: bool = False,
    seed: int = 0,
    phase: str | None = None,
    step: int | None = None,
) -> "Projection":
    """Project each layer's output onto its leading eigendirections, inside a `with` block.

    x becomes V Vᵀ(x - mean) + mean, with V the fewest eigenvectors of the layer's covariance that
    carry `threshold` of its variance. Outside of the block the model is as it was, after an
    exception too; inside, its monitors are paused, and compiled code runs uncompiled. Gradients
    pass through.

    Args:
        model: The root, wrapped or not; it keeps its mode.
        source: A run that was watched with `keep="covariance"` or its folder, a monitor
            (the rows of its present window), or a dict of layers and `Moments`.
        threshold: Fraction of the variance that is kept, in (0, 1].
        layers: Glob patterns or a predicate, as of `fathom.watch`; None for all of the source.
        random: Take random orthonormal directions, of the same dimension, about the same mean.
        seed: Of these; the global random state is not touched.
        phase: Whose rows say the directions, `train` or `eval`; None for eval, or train where that
            alone was observed.
        step: Of a run; None for the last.

    Returns:
        What the `with` block takes: its `threshold`, `thresholds` and `dimensions` may be changed
        at any time.

    Raises:
        ArgumentError: If an argument is outside its rule, a window is without rows, or the rows of
            a layer were taken in a way that says nothing of its output.
        LayerSelectionError: If layers are not in both the model and the source, or are sketched.
        ShapeError: If a layer has another width than in the source.
        RunNotFoundError: If the run has no covariances.

    Example:
        >>> import torch
        >>> from fathom import Moments
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> rows = torch.randn(100, 4)
        >>> moments = {"0": Moments.zeros(8).update(model[0](rows))}
        >>> with project(model, moments) as projection:
        ...     _ = model(rows)
        >>> projection.dimensions
        {'0': 4}
    """
    found = directed(model, source, layers, phase=phase, step=step, where=_WHERE)
    return Projection(model, found, threshold=threshold, seed=seed if random else None)


class Projection:
    """The layers of a model that are projected while a `with` block lasts; `project` makes one."""

    def __init__(
        self, model: nn.Module, found: Directed, *, threshold: float, seed: int | None = None
    ):
        """Prepare the layers; nothing changes before the `with` block.

        Args:
            model: The root.
            found: Its layers and their directions.
            threshold: Fraction of the variance that is kept, in (0, 1].
            seed: Of random directions; None for the layers' own.

        Raises:
            ArgumentError: If a layer cannot be projected.
        """
        if seed is not None and _whole(seed) < 0:
            raise ArgumentError(
                f"{_WHERE}: seed must be a whole number >= 0, got {seed!r}. Pass 0."
            )
        self._model = model
        self._seed = seed
        settings = found.source.settings
        for layer in found.layers:
            check_projectable(layer, settings, where=_WHERE)
        self._projectors = {
            layer.facts.name: Projector(
                layer, _own(found.directions, layer.facts.name, seed), settings
            )
            for layer in found.layers
        }
        self._thresholds: dict[str, float | None] = {}
        self._undo: ExitStack | None = None
        self.threshold = threshold

    @property
    def layers(self) -> list[str]:
        """The names of the projected layers, in execution order as far as it is known."""
        return list(self._projectors)

    @property
    def random(self) -> bool:
        """Whether the directions are random ones."""
        return self._seed is not None

    @property
    def threshold(self) -> float | None:
        """Fraction of the variance that is kept, which can be set; None where layers differ."""
        values = set(self._thresholds.values())
        return values.pop() if len(values) == 1 else None

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self.thresholds = dict.fromkeys(self._projectors, threshold)

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The threshold of each layer; None where its dimension was given. Set those of some."""
        return dict(self._thresholds)

    @thresholds.setter
    def thresholds(self, thresholds: Mapping[str, float | None]) -> None:
        found: dict[str, int] = {}
        for name, threshold in thresholds.items():
            check_threshold(threshold, where=_WHERE)  # type: ignore[arg-type]
            found[name] = self._of(name).directions.dimension(float(threshold))  # type: ignore[arg-type]
        self.dimensions = found
        self._thresholds |= {name: float(thresholds[name]) for name in found}  # type: ignore[arg-type]

    @property
    def dimensions(self) -> dict[str, int]:
        """How many directions of each layer are kept. Set those of some layers, in 0..width."""
        return {name: each.dimension for name, each in self._projectors.items()}

    @dimensions.setter
    def dimensions(self, dimensions: Mapping[str, int]) -> None:
        found = {}
        for name, dimension in dimensions.items():
            width = self._of(name).directions.width
            found[name] = _whole(dimension)
            if not 0 <= found[name] <= width:
                raise ArgumentError(
                    f"{_WHERE}: dimension of {name} must be a whole number in 0..{width}, its "
                    f"width, got {dimension!r}. Pass {width} to keep all of it."
                )
        for name, dimension in found.items():
            self._projectors[name].dimension = dimension
            self._thresholds[name] = None

    @property
    def widths(self) -> dict[str, int]:
        """The width of each layer."""
        return {name: each.directions.width for name, each in self._projectors.items()}

    def __enter__(self) -> Self:
        """Project from now on.

        Returns:
            Itself.

        Raises:
            ArgumentError: If it does so already.
        """
        if self._undo is not None:
            raise ArgumentError(
                f"{_WHERE}: a projection must be entered once at a time, got one inside itself. "
                "Make another one."
            )
        with ExitStack() as undo:
            undo.enter_context(unwatched(self._model))
            undo.enter_context(uncompiled())
            for each in self._projectors.values():
                undo.callback(each.layer.module.register_forward_hook(each).remove)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the model as it was."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo.close()

    def __repr__(self) -> str:
        """Say in a line what is kept."""
        kept, width = sum(self.dimensions.values()), sum(self.widths.values())
        kind = "random" if self.random else "leading"
        return f"Projection({len(self.layers)} layers, {kept} of {width} {kind} directions)"

    def __str__(self) -> str:
        """Write a line a layer."""
        rows: list[Sequence[str]] = [("layer", "width", "dimension", "threshold", "variance")]
        for name, each in self._projectors.items():
            threshold = self._thresholds[name]
            share = "-" if self.random else f"{each.directions.share(each.dimension):.4f}"
            rows.append(
                (
                    name or "(model)",
                    f"{each.directions.width}",
                    f"{each.dimension}",
                    "-" if threshold is None else f"{threshold:g}",
                    share,
                )
            )
        return f"{columns(rows, right=frozenset({1, 2, 3, 4}))}\n{self!r}"

    def _of(self, name: str) -> Projector:
        found = self._projectors.get(name)
        if found is None:
            raise ArgumentError(
                f"{_WHERE}: layer must be one that is projected, got {name!r}. "
                f"{near(str(name), self.layers)}"
            )
        return found


def _whole(value: object) -> int:
    """Return a whole number; -1 for what is none."""
    try:
        return -1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        return -1


def _own(directions: Mapping[str, Directions], name: str, seed: int | None) -> Directions:
    own = directions[name]
    # Each layer has a seed of its own, whichever others are chosen.
    return own if seed is None else own.randomised((seed + zlib.crc32(name.encode())) % 2**63)
