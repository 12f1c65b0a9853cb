"""The table of layers in the terminal."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fathom.snapshot import Reading, Snapshot
from fathom.spectral.statistics import intrinsic_dimension, saturation

_BAR_WIDTH = 20
_STATUS_STYLE = {"provisional": "yellow", "settling": "yellow", "settled": "green"}

SORTS: Mapping[str, Callable[["Row"], Any]] = {
    "order": lambda row: 0,
    "name": lambda row: row["layer"],
    "width": lambda row: -row["width"],
    "dimension": lambda row: -_finite(row["intrinsic_dimension"]),
    "saturation": lambda row: -_finite(row["saturation"]),
}
"""How rows can be ordered; numbers fall, and equals stay in execution order."""

Row = dict[str, Any]


def layer_rows(
    readings: Mapping[str, Reading], *, threshold: float | None = None, sort: str = "order"
) -> list[Row]:
    """Return one row a layer: the numbers of the table, for people and for programs.

    Args:
        readings: Of one phase, in execution order.
        threshold: Fraction of the total variance; None for that of each reading.
        sort: A key of `SORTS`.

    Returns:
        Rows with layer, kind, width, intrinsic_dimension, saturation, rows, rows_per_width,
        status, samples, calls and dropped.
    """
    rows: list[Row] = []
    for name, reading in readings.items():
        numbers = reading.spectrum.statistics(threshold or reading.threshold)
        rows.append(
            {
                "layer": name or "(model)",
                "kind": reading.layer.kind,
                "width": reading.width,
                "intrinsic_dimension": numbers["intrinsic_dimension"],
                "saturation": numbers["saturation"],
                "rows": reading.rows,
                "rows_per_width": reading.rows_per_width,
                "status": reading.status,
                "samples": reading.samples,
                "calls": reading.calls,
                "dropped": reading.dropped,
            }
        )
    return sorted(rows, key=SORTS[sort])
