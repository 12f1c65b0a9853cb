"""The layers of a phase as a list of plain records, for people and for programs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fathom.markup import Bar, Cell, Number, html_table
from fathom.reading import Reading

Row = dict[str, Any]


def _falling(key: str) -> Callable[[Row], float]:
    return lambda row: -row[key] if math.isfinite(row[key]) else math.inf


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "order": lambda row: 0,
    "name": lambda row: row["layer"],
    "width": _falling("width"),
    "dimension": _falling("intrinsic_dimension"),
    "saturation": _falling("saturation"),
}
"""How rows can be ordered: numbers fall, and equals stay in execution order."""


def layer_rows(readings: Mapping[str, Reading], *, sort: str = "order") -> list[Row]:
    """Return one row a layer: the numbers of the table, for people and for programs.

    Args:
        readings: Of one phase, in execution order.
        sort: A key of `SORTS`.

    Returns:
        Rows with layer, kind, width, intrinsic_dimension, at_least, saturation, sketched, captured,
        rows, rows_per_width, status, samples, calls, dropped, padded, probe_accuracy and
        probe_samples.
    """
    rows = [
        {
            "layer": name or "(model)",
            "kind": reading.layer.kind,
            "width": reading.width,
            "intrinsic_dimension": reading.intrinsic_dimension,
            "at_least": reading.at_least,
            "saturation": reading.saturation,
            "sketched": reading.sketched,
            "captured": reading.captured,
            "rows": reading.rows,
            "rows_per_width": reading.rows_per_width,
            "status": reading.status,
            "samples": reading.samples,
            "calls": reading.calls,
            "dropped": reading.dropped,
            "padded": reading.padded,
            "probe_accuracy": reading.probe_accuracy,
            "probe_samples": reading.probe_samples,
        }
        for name, reading in readings.items()
    ]
    return sorted(rows, key=SORTS[sort])


def dimension_text(row: Row) -> str:
    """Write the intrinsic dimension of a row: a number, a lower bound, or a dash."""
    if is_beyond(row):
        return f"> {row['at_least'] - 1}"
    return number_text(row["intrinsic_dimension"], "d")


def is_beyond(row: Row) -> bool:
    """Tell whether there is a dimension, but a sketch does not tell it."""
    return bool(row["sketched"] and row["rows"] and math.isnan(row["intrinsic_dimension"]))


def has_probes(rows: Sequence[Row]) -> bool:
    """Tell whether a table of rows has a column for the accuracy of probes."""
    return any(row["probe_samples"] for row in rows)


def count_text(count: float) -> str:
    """Write a count that may be a fraction while it is small, such as rows per width."""
    return f"{count:,.0f}" if count >= 10 else f"{count:.1f}"


def number_text(value: float, form: str) -> str:
    """Write a number as `format` does; a dash where there is none."""
    return format(value, form) if math.isfinite(value) else "-"


def html_listing(readings: Mapping[str, Reading], *, title: str, notes: Sequence[str] = ()) -> str:
    """Write the layers of a phase as a table with bars, for notebooks.

    Args:
        readings: Of one phase, in execution order.
        title: Stands above.
        notes: Lines that stand below.

    Returns:
        HTML that needs nothing from outside.
    """
    rows = layer_rows(readings)
    cells: list[Sequence[Cell]] = [
        (
            row["layer"],
            row["kind"],
            Number(row["width"]),
            Number(dimension_text(row)),
            Bar(row["saturation"], number_text(row["saturation"], ".3f")),
            Number(count_text(row["rows_per_width"])),
            row["status"],
        )
        for row in rows
    ]
    head = ["layer", "kind", "width", "dimension", "saturation", "rows/width", "status"]
    if has_probes(rows):
        head.append("probe")
        cells = [
            [*cell, Number(number_text(row["probe_accuracy"], ".3f"))]
            for cell, row in zip(cells, rows, strict=True)
        ]
    return html_table(head, cells, title=title, notes=notes)
