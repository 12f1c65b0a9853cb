"""The table of layers in the terminal."""

import math
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fathom.listing import Row, count_text, dimension_text, has_probes, layer_rows, number_text
from fathom.snapshot import Snapshot
from fathom.text import visible

_STATUS_STYLES = {"provisional": "yellow", "settling": "cyan", "settled": "green", "coarse": "red"}
_EIGHTHS = " ▏▎▍▌▋▊▉"


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
    heading = visible("  ".join(part for part in parts if part))
    console.print(Text(heading, style="bold"), soft_wrap=True)
    if readings:
        rows = [row | {"layer": visible(row["layer"])} for row in layer_rows(readings, sort=sort)]
        console.print(_table(rows, console))
    else:
        other = "train" if phase == "eval" else "eval"
        there = f"; there are readings of {other}" if snapshot.phase(other) else ""
        console.print(f"No layer was observed in the {phase} phase{there}.", highlight=False)
    for line in snapshot.notes(phase):
        # In a terminal lines break between words; in a pipe they do not break.
        console.print(Text(visible(line)), soft_wrap=not console.is_terminal)


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
        numbers = len("width  dimension  ") + saturation + len("probe  ") * has_probes(rows)
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
    with_probes = has_probes(rows)
    if with_probes:
        table.add_column("probe", justify="right", no_wrap=True)
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
            dimension_text(row),
            Text.assemble(f"{number_text(row['saturation'], '.3f'):>5} ", (drawn, "blue")),
        ]
        if with_probes:
            cells.append(number_text(row["probe_accuracy"], ".3f"))
        if layout.rows:
            status = (row["status"], _STATUS_STYLES[row["status"]]) if layout.status else ""
            cells.append(Text.assemble(f"{count_text(row['rows_per_width']):>6} ", status))
        table.add_row(*cells)
    return table
