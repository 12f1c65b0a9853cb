"""How alike layers are to each other: a matrix, as a table and as a heat map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fathom.errors import ArgumentError, DamagedRecordError, near
from fathom.extras import require
from fathom.markup import Bar, html_table
from fathom.text import columns, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KIND = "similarity"
"""Under which runs keep it."""

METHODS: Mapping[str, str] = {
    "cka": "linear CKA",
    "svcca": "SVCCA",
    "pwcca": "PWCCA",
    "eigenspaces": "share of the variance",
}
"""How methods are called where people read them."""


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """How alike each layer of one model is to each of another, or of the same.

    Attributes:
        method: `cka`, `svcca` or `pwcca`.
        models: The classes of the two models.
        within: Whether it is one model, its layers among each other.
        rows: Layers of the first model, in execution order.
        columns: Layers of the second.
        values: (rows, columns) float64; 1 is the same up to what the method disregards. CKA, whose
            bias is taken off, lies about 0 for unrelated layers, on both sides of it.
        samples: How many samples they were compared on.
        left_out: Samples in batches that were too small for CKA, and did not count.
        constant_rows: Rows whose outputs do not vary; their values are 0, as there is nothing that
            could be alike.
        constant_columns: Such columns.
    """

    method: str
    models: tuple[str, str]
    within: bool
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    samples: int
    left_out: int = 0
    constant_rows: tuple[str, ...] = ()
    constant_columns: tuple[str, ...] = ()

    def __getitem__(self, layers: tuple[str, str]) -> float:
        """Return the value of a row and a column.

        Raises:
            ArgumentError: If there is no such layer.
        """
        if not isinstance(layers, tuple) or len(layers) != 2:
            raise ArgumentError(
                f"similarity: layers must be two, of a row and a column, got {layers!r}. Pass "
                "found[row, column]."
            )
        row, column = layers
        for name, names in ((row, self.rows), (column, self.columns)):
            if name not in names:
                raise ArgumentError(
                    f"similarity: layer must be one of {len(names)}, got {name!r}. "
                    f"{near(f'{name}', names)}"
                )
        return float(self.values[self.rows.index(row), self.columns.index(column)])

    def plot(self, *, ax: "Axes | None" = None, theme: str | None = None) -> "Axes":
        """Draw it as a heat map, with the values in the cells where there are few.

        Args:
            ax: Where to draw; None for a figure of its own.
            theme: `light` or `dark`.

        Returns:
            The axes.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        require("matplotlib", extra="plots")
        from fathom.views.plots.similarity import draw_similarity

        return draw_similarity(self, ax=ax, theme=theme)

    def title(self) -> str:
        """Return in a line what was compared."""
        first, second = self.models
        between = f"layers of {first}" if self.within else f"{first} and {second}"
        return f"{METHODS[self.method]}, {between}, {self.samples:,} samples"

    def notes(self) -> list[str]:
        """Return what is to be known beside the values."""
        constant = dict.fromkeys((*self.constant_rows, *self.constant_columns))
        names = ", ".join(name or "(model)" for name in constant)
        found = [f"constant, so without a similarity: {names}"] if constant else []
        if self.left_out:
            found.append(f"{self.left_out} samples left out, in batches of fewer than 4")
        return found

    def __str__(self) -> str:
        """Return a table for the terminal."""
        head = ["", *(name or "(model)" for name in self.columns)]
        rows = [
            [name or "(model)", *(f"{value:.3f}" for value in line)]
            for name, line in zip(self.rows, self.values, strict=True)
        ]
        text = columns([head, *rows], right=frozenset(range(1, len(head))))
        return "\n".join([visible(self.title()), text, *map(visible, self.notes())])

    def __repr__(self) -> str:
        """Say in a line what is inside."""
        return f"Similarity({self.title()}: {len(self.rows)} × {len(self.columns)})"

    def _repr_html_(self) -> str:
        return html_table(
            ["", *(name or "(model)" for name in self.columns)],
            [
                [name or "(model)", *(Bar(float(each), f"{each:.3f}") for each in line)]
                for name, line in zip(self.rows, self.values, strict=True)
            ],
            title=self.title(),
            notes=self.notes(),
        )

    def to_body(self) -> dict[str, Any]:
        """Return what JSON can hold, for the store."""
        return {
            "method": self.method,
            "models": list(self.models),
            "within": self.within,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "values": self.values.tolist(),
            "samples": self.samples,
            "left_out": self.left_out,
            "constant_rows": list(self.constant_rows),
            "constant_columns": list(self.constant_columns),
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Return what was stored.

        Args:
            body: As `to_body` made it; anybody can make a file.

        Returns:
            The same.

        Raises:
            DamagedRecordError: If it is not of the types that fathom writes.
        """
        rows, columns = texts(body, "rows"), texts(body, "columns")
        method, models = text_of(body, "method"), texts(body, "models")
        if method not in METHODS or len(models) != 2:
            raise DamagedRecordError(misfit("method", method))
        return cls(
            method=method,
            models=(models[0], models[1]),
            within=body.get("within") is True,
            rows=rows,
            columns=columns,
            values=numbers(body, "values", (len(rows), len(columns))),
            samples=count_of(body, "samples"),
            left_out=count_of(body, "left_out"),
            constant_rows=texts(body, "constant_rows"),
            constant_columns=texts(body, "constant_columns"),
        )


def texts(body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return texts of a stored body.

    Raises:
        DamagedRecordError: If they are none.
    """
    value = body.get(key)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DamagedRecordError(misfit(key, value))
    return tuple(value)


def text_of(body: Mapping[str, Any], key: str) -> str:
    """Return a text of a stored body.

    Raises:
        DamagedRecordError: If it is none.
    """
    value = body.get(key)
    if not isinstance(value, str):
        raise DamagedRecordError(misfit(key, value))
    return value


def count_of(body: Mapping[str, Any], key: str) -> int:
    """Return a count of a stored body.

    Raises:
        DamagedRecordError: If it is none.
    """
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise DamagedRecordError(misfit(key, value))
    return value


def numbers(body: Mapping[str, Any], key: str, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return finite numbers of a stored body.

    Raises:
        DamagedRecordError: If they are none, or not so many.
    """
    try:
        found = np.array(body.get(key), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DamagedRecordError(misfit(key, body.get(key))) from None
    if found.size == 0 and 0 in shape:
        found = found.reshape(shape)
    if found.shape != tuple(shape) or not np.isfinite(found).all():
        raise DamagedRecordError(misfit(key, f"shape {found.shape}"))
    return found


def misfit(key: str, value: object) -> str:
    """Return the message of a body that fathom did not write."""
    return (
        f"run: similarity must hold {key} as fathom writes it, got {str(value)[:60]!r}. Remove the "
        "file from the folder analyses of the run, and compare again."
    )
