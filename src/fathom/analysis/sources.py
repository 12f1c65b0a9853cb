"""Models whose layers are compared, and what their layers give for a batch."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from fathom.analysis.batches import call, moved
from fathom.analysis.outputs import Receive, outputs_of
from fathom.analysis.positions import Positions, positions_of
from fathom.capture.layers import Layer, home_of
from fathom.errors import ArgumentError, ShapeError, warn

Item = tuple[int, str]
"""The number of a source, and the name of one of its layers."""

T = TypeVar("T")


def _nothing() -> None:
    """Find the weights in place."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model with some weights.

    Attributes:
        model: Behind its wrappers.
        layers: Of it.
        title: What it is called in messages.
        prepare: Brings the weights into place, before each batch.
    """

    model: nn.Module
    layers: Sequence[Layer]
    title: str
    prepare: Callable[[], None] = field(default=_nothing)


class Shape(NamedTuple):
    """How large that is.

    Attributes:
        samples: b.
        positions: p, of all calls in one forward pass.
        width: d.
    """

    samples: int
    positions: int
    width: int


def results(
    source: Source, batch: Any, names: Collection[str], reduce: Callable[[Positions], T]
) -> dict[str, list[T]]:
    """Run a model on a batch, and reduce what some of its layers give while it runs.

    Args:
        source: The model, frozen.
        batch: The inputs of a `Batch`, on any device.
        names: Of layers.
        reduce: Takes what a layer gave; it is not to keep it.

    Returns:
        A result for each call of each layer, in the order in which layers were first done.

    Raises:
        ArgumentError: If an output cannot be read; the layer is named.
    """
    found: dict[str, list[T]] = {}

    def receive(layer: Layer, output: Any, real: Tensor | None) -> None:
        name = layer.facts.name
        try:
            result = reduce(_real_numbers(positions_of(layer, output, real)))
        except ArgumentError as error:
            raise ArgumentError(
                f"similarity: layers must give features of each sample, got {name!r} of "
                f"{source.title}, which does not: {error} Leave it out with layers=[...]."
            ) from error
        found.setdefault(name, []).append(result)

    _run(source, batch, [layer for layer in source.layers if layer.facts.name in names], receive)
    return found


def _run(source: Source, batch: Any, layers: Sequence[Layer], receive: Receive) -> None:
    source.prepare()
    with outputs_of(source.model, layers, receive):
        call(source.model, moved(batch, source.model))


def shapes(sources: Sequence[Source], batch: Any) -> dict[Item, Shape]:
    """Find out what layers give, and leave out those that cannot be compared, with a warning.

    Args:
        sources: Models, frozen.
        batch: The first one.

    Returns:
        By layer, those of a model in execution order.

    Raises:
        ArgumentError: If none is left of a model.
    """
    found: dict[Item, Shape] = {}
    reasons: dict[Item, str] = {}
    for number, source in enumerate(sources):
        names = [layer.facts.name for layer in source.layers]
        seen = _looked_at(source, batch)
        reasons |= {(number, name): "was not called" for name in names if name not in seen}
        for name, calls in seen.items():
            fault = next((each for each in calls if isinstance(each, str)), "")
            parts = [each for each in calls if isinstance(each, Shape)]
            if not fault and len({(part.samples, part.width) for part in parts}) > 1:
                fault = "gave different shapes in one pass"
            if fault:
                reasons[number, name] = fault
            else:
                positions = sum(part.positions for part in parts)
                found[number, name] = parts[0]._replace(positions=positions)
    # What most layers have is how many samples the batch has: tokens or experts' parts are others.
    samples = Counter(shape.samples for shape in found.values()).most_common(1)
    for item, shape in list(found.items()):
        if shape.samples != samples[0][0]:
            reasons[item] = f"gave {shape.samples} outputs for {samples[0][0]} samples"
            del found[item]
    if reasons:
        _tell(sources, reasons, left={number for number, _ in found})
    return found


def _looked_at(source: Source, batch: Any) -> dict[str, list[Shape | str]]:
    found: dict[str, list[Shape | str]] = {}

    def receive(layer: Layer, output: Any, real: Tensor | None) -> None:
        try:
            values = _real_numbers(positions_of(layer, output, real)).values
            result: Shape | str = Shape(*values.shape) if values.numel() else "gave nothing"
        except ShapeError as error:
            result = f"cannot be read ({error})"
        found.setdefault(layer.facts.name, []).append(result)

    _run(source, batch, source.layers, receive)
    return found


def _real_numbers(given: Positions) -> Positions:
    if not given.values.is_floating_point():
        raise ShapeError(f"similarity: output must hold real numbers, got {given.values.dtype}.")
    return given


def _tell(sources: Sequence[Source], reasons: Mapping[Item, str], *, left: set[int]) -> None:
    named = [
        f"{name or '(model)'} of {sources[number].title} {reason}"
        for (number, name), reason in reasons.items()
    ]
    listed = "; ".join(named[:5]) + ("; ..." if len(named) > 5 else "")
    if len(left) < len(sources):
        raise ArgumentError(
            "similarity: layers must have one of each model that gives an output for each "
            f"sample, got none: {listed}. Choose others with layers=[...]."
        )
    warn(f"similarity: {len(named)} layers are left out: {listed}.")


def home(sources: Sequence[Source]) -> torch.device:
    """Return where numbers of all models come together: the device of the first."""
    parameter = next(sources[0].model.parameters(), None)
    return home_of(torch.device("cpu") if parameter is None else parameter.device)
