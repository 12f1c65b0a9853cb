"""The table of layers in the terminal."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fathom.snapshot import Reading, Snapshot

Row = dict[str, Any]

_STATUS_STYLES = {"provisional": "yellow", "settling": "cyan", "settled": "green", "coarse": "red"}
_EIGHTHS = " ▏▎▍▌▋▊▉"


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
        rows, rows_per_width, status, samples, calls, dropped and padded.
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
        }
        for name, reading in readings.items()
    ]
    return sorted(rows, key=SORTS[sort])


def print_snapshot(
    snapshot: Snapshot, *, phase: str, console: Console, title: str = "", sort: str = "order"
) -> None:
    """Print the layers of a snapshot as a table, with the average and what was not seen below.

    Args:
        snapshot: What was measured.
        phase: `train` or `eval`.
        console: Where to print; to a pipe the table goes as plain text, never cut.
        title: What stands in front of the step.
        sort: A key of `SORTS`.
    """
    readings = snapshot.phase(phase)
    thresholds = sorted({reading.threshold for reading in readings.values()})
    share = ", ".join(f"{threshold:.6g}" for threshold in thresholds)
    parts = [title, f"step {snapshot.step}", phase, f"threshold {share}" if share else ""]
    console.print(Text("  ".join(part for part in parts if part), style="bold"), soft_wrap=True)
    if readings:
        console.print(_table(layer_rows(readings, sort=sort), console))
    else:
        other = "train" if phase == "eval" else "eval"
        there = f"; there are readings of {other}" if snapshot.phase(other) else ""
        console.print(f"No layer was observed in the {phase} phase{there}.", highlight=False)
    for line in _footer(snapshot, phase):
        # In a terminal lines break between words; in a pipe they do not break.
        console.print(line, highlight=False, soft_wrap=not console.is_terminal, markup=False)


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """Draw a share as a bar.

    Args:
        share: In [0, 1]; nan draws nothing.
        width: The bar of 1, in characters.
        ascii_only: Draw with `#`, for terminals that know no block characters.

    Returns:
        At most `width` characters.
    """
    if not math.isfinite(share):
        return ""
    if ascii_only:
        return "#" * round(share * width)
    full, eighths = divmod(round(share * width * 8), 8)
    return ("█" * full + _EIGHTHS[eighths]).rstrip()


class _Layout(NamedTuple):
    """What of the table a terminal has room for, beside the layer's name and its numbers."""

    kind: bool
    bar: int
    status: bool
    rows: bool

    def width(self, rows: list[Row]) -> int:
        """Return the width of the table, in characters, where no name is folded."""
        name, kind = (max(len(row[key]) for row in rows) + 2 for key in ("layer", "kind"))
        saturation = max(len("saturation"), len("0.123 ") + self.bar) + 2
        numbers = len("width  dimension  ") + saturation
        last = len("123,456 provisional") if self.status else len("rows/width")
        return name + kind * self.kind + numbers + last * self.rows


_LAYOUTS = (
    _Layout(kind=True, bar=20, status=True, rows=True),
    _Layout(kind=True, bar=8, status=True, rows=True),
    _Layout(kind=False, bar=8, status=True, rows=True),
    _Layout(kind=False, bar=0, status=True, rows=True),
    _Layout(kind=False, bar=0, status=False, rows=True),
    _Layout(kind=False, bar=0, status=False, rows=False),
)


def _table(rows: list[Row], console: Console) -> Table:
    fitting = [each for each in _LAYOUTS if each.width(rows) <= console.width]
    # Of names that never fit, rather fold the name than leave out what the table is for.
    layout = fitting[0] if fitting else _LAYOUTS[-1 if console.width < 60 else 2]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold underline")
    table.add_column(
        "layer", overflow="fold", min_width=min(12, max(len(row["layer"]) for row in rows))
    )
    if layout.kind:
        table.add_column("kind", no_wrap=True)
    table.add_column("width", justify="right", no_wrap=True)
    table.add_column("dimension", justify="right", no_wrap=True)
    table.add_column("saturation", no_wrap=True)
    if layout.rows:
        table.add_column("rows/width", no_wrap=True)
    ascii_only = not console.encoding.lower().startswith("utf")
    for row in rows:
        drawn = bar(row["saturation"], layout.bar, ascii_only=ascii_only)
        cells: list[Text | str] = [Text(row["layer"])]
        if layout.kind:
            cells.append(row["kind"])
        cells += [
            str(row["width"]),
            _dimension(row),
            Text.assemble(f"{_number(row['saturation'], '.3f'):>5} ", (drawn, "blue")),
        ]
        if layout.rows:
            status = (row["status"], _STATUS_STYLES[row["status"]]) if layout.status else ""
            cells.append(Text.assemble(f"{_few(row['rows_per_width']):>6} ", status))
        table.add_row(*cells)
    return table


def _footer(snapshot: Snapshot, phase: str) -> list[str]:
    lines = []
    average = snapshot.average_saturation(phase)
    if math.isfinite(average):
        without = snapshot.output_layer
        aside = f", without the output layer {without}" if without in snapshot.phase(phase) else ""
        lines.append(f"average saturation {average:.3f}{aside}")
    elif snapshot.phase(phase):
        lines.append("no average saturation: no linear or convolutional layer but the output layer")
    if snapshot.metrics:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in snapshot.metrics.items())
        lines.append(numbers)
    if any(reading.status == "provisional" for reading in snapshot.phase(phase).values()):
        lines.append(
            "provisional: fewer than 10 rows per width, so the dimension is too low; "
            "use a longer window"
        )
    if any(reading.status == "coarse" for reading in snapshot.phase(phase).values()):
        lines.append(
            "coarse: the activations' type is too coarse for their mean, so the dimension is too "
            "high; watch in float32"
        )
    if beyond := [row for row in layer_rows(snapshot.phase(phase)) if _is_beyond(row)]:
        names = ", ".join(f"{row['layer']} ({row['captured']:.1%} captured)" for row in beyond)
        lines.append(f"sketched: {names}: the dimension is not known, > is a lower bound")
    for name, reading in snapshot.phase(phase).items():
        if reading.dropped:
            lines.append(f"{name}: {reading.dropped} rows with NaN or infinity were left out")
    if padded := max((r.padded for r in snapshot.phase(phase).values()), default=0):
        lines.append(f"padding left out: up to {padded:,} rows a layer")
    reasons = {name: snapshot.reasons.get(name, "") for name in snapshot.unobserved}
    for reason, names in _by_reason(reasons):
        lines.append(f"not observed: {names}{f' ({reason})' if reason else ''}")
    lines += [f"switched off: {names}: {why}" for why, names in _by_reason(snapshot.disabled)]
    return lines


def _by_reason(reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each reason once, with the layers that it holds for."""
    return [
        (reason, ", ".join(name or "(model)" for name, why in reasons.items() if why == reason))
        for reason in dict.fromkeys(reasons.values())
    ]


def _dimension(row: Row) -> str:
    return (
        f"> {row['at_least'] - 1}" if _is_beyond(row) else _number(row["intrinsic_dimension"], "d")
    )


def _is_beyond(row: Row) -> bool:
    """Tell whether there is a dimension, but a sketch does not tell it."""
    return bool(row["sketched"] and row["rows"] and math.isnan(row["intrinsic_dimension"]))


def _few(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 else f"{count:.1f}"


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
