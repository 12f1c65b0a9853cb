"""A run as one tidy table: a row a step, phase, layer and statistic."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from fathom.errors import ArgumentError
from fathom.extras import require
from fathom.reading import PHASES
from fathom.snapshot import Snapshot
from fathom.views.files import replaced
from fathom.views.run import Run

COLUMNS = ("step", "phase", "layer", "kind", "width", "rows", "samples", "statistic", "value")

ReadingRow = tuple[int, str, str, str, int, int, int]
TidyRow = tuple[int, str, str, str, int, int, int, str, float]


def tidy(run: Run, *, threshold: float | None = None) -> Iterator[TidyRow]:
    """Go through every number of a run.

    Args:
        run: The run.
        threshold: Fraction of the total variance, in (0, 1]; None for that of the run.

    Yields:
        A tuple of `COLUMNS`, by step, phase, layer in execution order, and statistic.
    """
    for snapshot in run.snapshots(threshold=threshold):
        yield from tidy_rows(snapshot)


def tidy_rows(snapshot: Snapshot) -> Iterator[TidyRow]:
    """Go through every number of a snapshot.

    Args:
        snapshot: What was measured.

    Yields:
        A tuple of `COLUMNS`, by phase, layer in execution order, and statistic.
    """
    for reading, numbers in numbers_by_reading(snapshot):
        for statistic, value in numbers.items():
            yield (*reading, statistic, float(value))


def numbers_by_reading(
    snapshot: Snapshot, *, statistics: Sequence[str] | None = None
) -> Iterator[tuple[ReadingRow, dict[str, float]]]:
    """Go through the readings of a snapshot.

    Args:
        snapshot: What was measured.
        statistics: Some of `fathom.STATISTICS`; None for all, of sketches also what bounds them,
            and what a live probe found.

    Yields:
        What identifies a reading, the first of `COLUMNS`, and its numbers by name.
    """
    for phase in PHASES:
        for name, reading in snapshot.phase(phase).items():
            numbers: Mapping[str, float] = reading.statistics
            if statistics is not None:
                numbers = {each: numbers[each] for each in statistics if each in numbers}
            elif reading.sketched:
                bounds = {"at_least": reading.at_least, "captured": reading.captured}
                numbers = {**numbers, **bounds}
            kind, width = reading.layer.kind, reading.width
            head = (snapshot.step, phase, name, kind, width, reading.rows, reading.samples)
            if statistics is None and reading.probe_samples:
                probe = {"probe_accuracy": reading.probe_accuracy}
                numbers = {**numbers, **probe, "probe_samples": reading.probe_samples}
            yield head, dict(numbers)


def write_csv(rows: Iterator[TidyRow], target: TextIO) -> int:
    """Write a tidy table as CSV with a header.

    Args:
        rows: From `tidy`.
        target: An open text file.

    Returns:
        The number of rows.
    """
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    return sum(1 for row in rows if writer.writerow(row))


def write_json(rows: Iterator[TidyRow], target: TextIO) -> int:
    """Write a tidy table as JSON: a list with an object a row, null where there is no number.

    Args:
        rows: From `tidy`.
        target: An open text file.

    Returns:
        The number of rows.
    """
    count = 0
    target.write("[")
    for count, row in enumerate(rows, start=1):
        record = dict(zip(COLUMNS, row, strict=True))
        record["value"] = row[-1] if math.isfinite(row[-1]) else None
        target.write(("," if count > 1 else "") + "\n" + json.dumps(record))
    target.write("\n]\n")
    return count


def write_parquet(rows: Iterator[TidyRow], path: Path) -> int:
    """Write a tidy table as Parquet; needs the extra `parquet`.

    Args:
        rows: From `tidy`.
        path: The file.

    Returns:
        The number of rows.

    Raises:
        MissingExtraError: If pyarrow is not installed.
    """
    arrow = require("pyarrow", extra="parquet")
    parquet = require("pyarrow.parquet", extra="parquet")
    types = [arrow.int64() if name in _WHOLE else arrow.string() for name in COLUMNS[:-1]]
    schema = arrow.schema(list(zip(COLUMNS, [*types, arrow.float64()], strict=True)))
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _GROUP)):
            columns = [
                arrow.array(column, field.type)
                for column, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(arrow.table(columns, schema=schema))
            count += len(group)
    return count


# As tuples, the rows of a long run take some hundred times what they take in the file.
_GROUP = 16_384
_WHOLE = frozenset({"step", "width", "rows", "samples"})
_TEXT_FORMS: Mapping[str, Callable[[Iterator[TidyRow], TextIO], int]] = {
    "csv": write_csv,
    "json": write_json,
}

FORMS = (*_TEXT_FORMS, "parquet")
"""What a run can be exported to."""


def export(
    run: Run, path: Path | TextIO, *, form: str = "csv", threshold: float | None = None
) -> int:
    """Write a run as one tidy table.

    Args:
        run: The run.
        path: The file, or an open text file for `csv` and `json`.
        form: One of `FORMS`.
        threshold: Fraction of the total variance, in (0, 1]; None for that of the run.

    Returns:
        The number of rows.

    Raises:
        ArgumentError: If Parquet, which is binary, is to go to a text file.
        MissingExtraError: If pyarrow is not installed, for `parquet`.
    """
    rows = tidy(run, threshold=threshold)
    if not isinstance(path, Path):
        if form == "parquet":
            raise ArgumentError("export: path must be a file for parquet, got a text stream.")
        return _TEXT_FORMS[form](rows, path)
    with replaced(path) as unfinished:
        if form == "parquet":
            return write_parquet(rows, unfinished)
        with unfinished.open("w", encoding="utf-8", newline="") as target:
            return _TEXT_FORMS[form](rows, target)
