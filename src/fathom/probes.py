"""What linear probes found, layer by layer: a frozen record."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeVar, overload

from fathom.errors import DamagedRecordError, NotObservedError, near
from fathom.listing import number_text
from fathom.markup import Bar, Cell, Number, html_table
from fathom.text import columns, visible

KIND = "probes"
"""The kind of analysis, in the store."""

T = TypeVar("T")
_HEAD = ("layer", "features", "train accuracy", "eval accuracy", "converged")


@dataclass(frozen=True, slots=True)
class Probe:
    """How well the classes can be told apart by a linear function of one layer's output.

    Attributes:
        layer: Its name.
        train_accuracy: Share of the samples that the probe was fitted on, in [0, 1].
        eval_accuracy: Share of the held-out samples, in [0, 1].
        samples: How many it was fitted on.
        eval_samples: How many were held out.
        features: How many numbers of each sample it was given.
        converged: Whether the solver found the minimum.
    """

    layer: str
    train_accuracy: float
    eval_accuracy: float
    samples: int
    eval_samples: int
    features: int
    converged: bool


@dataclass(frozen=True, slots=True, repr=False)
class Probes(Sequence[Probe]):
    """The probes of a model's layers, in execution order.

    Attributes:
        probes: One a layer.
        model_accuracy: Of the model's own largest output on the held-out samples; nan where its
            output is not (b, classes).
        step: Of the run, at which the model was as it was probed; None where nobody said.
        legacy: Whether they were fitted as in the experiments of the papers.
        left_out: Layers without a probe, each with the reason.
        ignored: How many more samples to fit on were there, without a label (-100).
        eval_ignored: The same of the held-out data.
    """

    probes: tuple[Probe, ...]
    model_accuracy: float = math.nan
    step: int | None = None
    legacy: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    ignored: int = 0
    eval_ignored: int = 0

    @overload
    def __getitem__(self, key: int | str) -> Probe: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[Probe]: ...
    def __getitem__(self, key: int | str | slice) -> Probe | Sequence[Probe]:
        """Return the probe of a layer, by its name or its place.

        Args:
            key: A name, a place, or a slice of places.

        Returns:
            One probe; several of a slice.

        Raises:
            NotObservedError: If the layer has no probe.
        """
        if not isinstance(key, str):
            return self.probes[key]
        for probe in self.probes:
            if probe.layer == key:
                return probe
        names = [probe.layer for probe in self.probes]
        reason = f", {self.left_out[key]}" if key in self.left_out else ""
        raise NotObservedError(
            f"Probes: layer must have a probe, got {key!r}{reason}. {near(key, names)}"
        )

    def __len__(self) -> int:
        """Return how many layers were probed."""
        return len(self.probes)

    def __iter__(self) -> Iterator[Probe]:
        """Go through the probes in execution order."""
        return iter(self.probes)

    @property
    def name(self) -> str:
        """What they are called in a run: later ones of the same step take their place."""
        return f"step{self.step}{'-legacy' * self.legacy}"

    @property
    def title(self) -> str:
        """What they are, in a line."""
        parts = ["probes", "" if self.step is None else f"step {self.step}"]
        return "  ".join(part for part in [*parts, "legacy" * self.legacy] if part)

    @property
    def notes(self) -> list[str]:
        """What is to be said below a table."""
        notes = []
        if self.probes:
            samples, held_out = self.probes[0].samples, self.probes[0].eval_samples
            notes.append(f"fitted on {samples:,} samples, {held_out:,} held out")
        if self.ignored or self.eval_ignored:
            notes.append(
                f"labelled -100, which is none, and left out: {self.ignored:,} and "
                f"{self.eval_ignored:,} more"
            )
        return notes + [
            f"left out: {name or '(model)'}: {reason}" for name, reason in self.left_out.items()
        ]

    def __repr__(self) -> str:
        """Say in a line what it is of."""
        best = max((probe.eval_accuracy for probe in self.probes), default=math.nan)
        step = "" if self.step is None else f"step {self.step}, "
        return f"Probes({step}{len(self.probes)} layers, best eval accuracy {best:.3f})"

    def __str__(self) -> str:
        """Write a line a layer."""
        rows = [[*map(_text, row)] for row in self._rows()]
        table = columns([_HEAD, *rows], right=frozenset({1, 2, 3}))
        return "\n".join([self.title, table, *map(visible, self.notes)])

    def _repr_html_(self) -> str:
        """Show the table with bars in a notebook."""
        return html_table(_HEAD, self._rows(), title=self.title, notes=self.notes)

    def _rows(self) -> list[list[Cell]]:
        rows: list[list[Cell]] = [
            [
                probe.layer or "(model)",
                Number(probe.features),
                Number(number_text(probe.train_accuracy, ".3f")),
                Bar(probe.eval_accuracy, number_text(probe.eval_accuracy, ".3f")),
                "yes" if probe.converged else "no",
            ]
            for probe in self.probes
        ]
        own = number_text(self.model_accuracy, ".3f")
        return [
            *rows,
            ["the model itself", Number(""), Number(""), Bar(self.model_accuracy, own), ""],
        ]

    def to_body(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "step": self.step,
            "legacy": self.legacy,
            "model_accuracy": self.model_accuracy,
            "layers": [asdict(probe) for probe in self.probes],
            "left_out": dict(self.left_out),
            "ignored": self.ignored,
            "eval_ignored": self.eval_ignored,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_body` wrote.

        Args:
            body: As it was read; anybody can make a file.

        Returns:
            The probes.

        Raises:
            DamagedRecordError: If it is not what `to_body` writes.
        """
        try:
            probes = tuple(_probe(layer) for layer in _of(list, body["layers"]))
            left_out = _of(dict, body["left_out"])
            for name, reason in left_out.items():
                _of(str, name)
                _of(str, reason)
            step = body["step"]
            return cls(
                probes,
                _share(body["model_accuracy"]),
                None if step is None else _count(step, least=-(2**63)),
                _of(bool, body["legacy"]),
                left_out,
                _count(body.get("ignored", 0)),
                _count(body.get("eval_ignored", 0)),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DamagedRecordError(
                f"probes: record must be as fathom.probe wrote it, got {error!r} in it. Probe the "
                "model again."
            ) from error


def _text(cell: Cell) -> str:
    return cell.text if isinstance(cell, Bar) else str(cell)


def _probe(body: Mapping[str, Any]) -> Probe:
    return Probe(
        layer=_of(str, body["layer"]),
        train_accuracy=_share(body["train_accuracy"]),
        eval_accuracy=_share(body["eval_accuracy"]),
        samples=_count(body["samples"]),
        eval_samples=_count(body["eval_samples"]),
        features=_count(body["features"]),
        converged=_of(bool, body["converged"]),
    )


def _of(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r:.50} is no {kind.__name__}")
    return value


def _count(value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise ValueError(f"{value!r:.50} is no count")
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.50} is no share")
    if not (math.isnan(value) or 0 <= value <= 1):
        raise ValueError(f"{value!r:.50} is no share")
    return float(value)
