"""What a model still knows with fewer directions a layer: a frozen record."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fathom.errors import DamagedRecordError
from fathom.listing import number_text
from fathom.markup import Number, html_table
from fathom.text import columns

KIND = "projection"
"""The kind of analysis, in the store."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ProjectionCurve:
    """Accuracy against threshold, of all layers at once and of each alone.

    Attributes:
        thresholds: (T,) ascending, fractions of the variance in (0, 1].
        all: (T,) what `eval_fn` returned while all layers were projected.
        by_layer: (T,) by layer, in execution order, while that one alone was; empty where nobody
            asked.
        dimensions: (T,) by layer, how many directions were kept.
        widths: By layer.
        baseline: What `eval_fn` returned of the model as it is.
        random: (T,) as `all`, on random directions of the same dimensions; None where nobody asked.
        phase: Whose rows said the directions; None where it is not known.
        step: At which the model was as it was measured; None where it is not known.
        source_step: Of the run that had the directions; None of those of a monitor, or of moments.
    """

    thresholds: NDArray[np.float64]
    all: NDArray[np.float64]
    by_layer: Mapping[str, NDArray[np.float64]]
    dimensions: Mapping[str, NDArray[np.int64]]
    widths: Mapping[str, int]
    baseline: float
    random: NDArray[np.float64] | None = None
    phase: str | None = None
    step: int | None = None
    source_step: int | None = None

    @property
    def name(self) -> str:
        """What it is called in a run: a later one of the same step takes its place."""
        return "now" if self.step is None else f"step{self.step}"

    def needed(self, *, loss: float = 0.01) -> dict[str, int]:
        """Return how many directions each layer needs, of those numbers that were tried.

        Args:
            loss: How much of the baseline may be lost.

        Returns:
            By layer the smallest dimension from which on accuracy, with that layer alone projected,
            stays within `loss` of the baseline; the width where none does.
        """
        return {
            layer: self._needed(self.dimensions[layer], accuracy, self.widths[layer], loss)
            for layer, accuracy in self.by_layer.items()
        }

    def _needed(
        self,
        dimensions: NDArray[np.int64],
        accuracy: NDArray[np.float64],
        width: int,
        loss: float,
    ) -> int:
        found = width
        for dimension, value in zip(dimensions[::-1], accuracy[::-1], strict=True):
            # Of accuracies such as 0.99 and 0.98 the difference is more than 0.01 by rounding.
            if not value >= self.baseline - loss - 1e-9:
                break
            found = int(dimension)
        return found

    def __repr__(self) -> str:
        """Say in a line what it is of."""
        return (
            f"ProjectionCurve({len(self.dimensions)} layers, {len(self.thresholds)} thresholds, "
            f"baseline {self.baseline:.4g})"
        )

    def __str__(self) -> str:
        """Write a line a layer, with what is left of the accuracy at each threshold."""
        head, rows = self._table()
        right = frozenset(range(1, len(head)))
        return "\n".join([columns([head, *rows], right=right), *self._notes()])

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        head, rows = self._table()
        marked = [[row[0], *map(Number, row[1:])] for row in rows]
        return html_table(head, marked, title=repr(self), notes=self._notes())

    def _table(self) -> tuple[list[str], list[list[str]]]:
        head = ["projected", *(f"{each:g}" for each in self.thresholds), "needs", "width"]
        wide = str(sum(self.widths.values()))
        rows = [["all layers", *_texts(self.all), "", wide]]
        if self.random is not None:
            rows.append(["all, random directions", *_texts(self.random), "", wide])
        needed = self.needed()
        rows += [
            [
                layer or "(model)",
                *_texts(values),
                str(needed[layer]),
                str(self.widths[layer]),
            ]
            for layer, values in self.by_layer.items()
        ]
        return head, rows

    def _notes(self) -> list[str]:
        notes = [f"unprojected: {self.baseline:.3f}"]
        if self.by_layer:
            notes.append("needs: the fewest directions tried that lose at most 0.01")
        return notes

    def to_body(self) -> dict[str, Any]:
        """Return the record as JSON holds it."""
        return {
            "thresholds": self.thresholds.tolist(),
            "all": self.all.tolist(),
            "layers": [
                {
                    "layer": layer,
                    "width": self.widths[layer],
                    "dimensions": dimensions.tolist(),
                    "accuracy": self.by_layer[layer].tolist() if layer in self.by_layer else None,
                }
                for layer, dimensions in self.dimensions.items()
            ],
            "baseline": self.baseline,
            "random": None if self.random is None else self.random.tolist(),
            "phase": self.phase,
            "step": self.step,
            "source_step": self.source_step,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Take a record out of the store.

        Args:
            body: What `to_body` returned, or anything else: anybody can make a file.

        Returns:
            The record.

        Raises:
            DamagedRecordError: If it is none.
        """
        try:
            return cls(**_checked(body))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DamagedRecordError(
                f"run: {KIND} must hold a projection curve, got something else: {error!r}. fathom "
                "did not write it. The rest of the run is readable."
            ) from error


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a record; raise some error where there is something else."""
    thresholds = _numbers(body["thresholds"])
    count = len(thresholds)
    if not count or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError("thresholds outside (0, 1]")
    if not isinstance(body["layers"], list):
        raise TypeError("no list of layers")
    layers = {_text(each["layer"]): each for each in body["layers"]}
    if len(layers) != len(body["layers"]):
        raise ValueError("a layer twice")
    widths = {name: _whole(each["width"]) for name, each in layers.items()}
    dimensions = {
        name: np.array([_whole(k) for k in each["dimensions"]], dtype=np.int64)
        for name, each in layers.items()
    }
    if any(len(k) != count or k.max() > widths[name] for name, k in dimensions.items()):
        raise ValueError("dimensions that do not fit")
    # The first curves were of the step of their directions.
    source_step = body.get("source_step", body["step"])
    return dict(
        thresholds=thresholds,
        all=_numbers(body["all"], count),
        by_layer={
            name: _numbers(each["accuracy"], count)
            for name, each in layers.items()
            if each["accuracy"] is not None
        },
        dimensions=dimensions,
        widths=widths,
        baseline=_number(body["baseline"]),
        random=None if body["random"] is None else _numbers(body["random"], count),
        phase=None if body["phase"] is None else _text(body["phase"]),
        step=None if body["step"] is None else _signed(body["step"]),
        source_step=None if source_step is None else _signed(source_step),
    )


def _texts(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    return [number_text(float(each), ".3f") for each in values]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError("no number")
    return float(value)


def _numbers(values: object, count: int | None = None) -> NDArray[np.float64]:
    if not isinstance(values, list) or (count is not None and len(values) != count):
        raise TypeError("no list of numbers")
    return np.array([_number(each) for each in values], dtype=np.float64)


def _signed(value: object) -> int:
    number = _number(value)
    if not math.isfinite(number) or number != int(number) or abs(number) > 2**63:
        raise ValueError("no whole number")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _whole(value: object) -> int:
    number = _signed(value)
    if not 0 <= number < 2**31:
        raise ValueError("no count")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
