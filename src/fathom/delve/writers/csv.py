"""A table with a row an epoch."""

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.delve.writers.writer import AbstractWriter, is_matrix, is_nan, plain
from fathom.delve.writers.written import Written
from fathom.errors import ArgumentError, warn
from fathom.views.files import replaced


class CSVWriter(AbstractWriter):
    """Writes `<savepath>.csv`, semicolons between the columns: a row an epoch, a column a name."""

    def __init__(self, savepath: str | os.PathLike[str], **kwargs: Any):
        """Say where to write.

        Args:
            savepath: The file, without its ending.
            **kwargs: Options of other writers.
        """
        self.savepath = os.fspath(savepath)
        self.value_dict: dict[str, list[Any]] = {}
        self._written = Written(savepath)
        self._start = 0
        self._unsaved = False
        self._told: set[str] = set()

    @property
    def _path(self) -> Path:
        return Path(f"{self.savepath}.csv")

    def resume_from_saved_state(self, initial_epoch: int) -> None:
        """Keep the rows of the file before an epoch.

        Args:
            initial_epoch: The epoch of the next row; rows from it on are dropped.

        Raises:
            ArgumentError: If the file is no such table.
        """
        self._start = initial_epoch
        lines = []
        if self._path.exists():
            with self._path.open(encoding="utf-8", newline="") as file:
                lines = [line for line in csv.reader(file, delimiter=";") if line]
        if not lines:
            missing = "is empty" if self._path.exists() else "is not there yet"
            warn(f"fathom.delve: {self._path} {missing}; it begins at epoch {initial_epoch}")
            return
        head, *rows = lines
        try:
            places = [int(row[0]) for row in rows]
        except (ValueError, IndexError) as error:
            raise ArgumentError(
                f"CSVWriter: savepath must be a table that it wrote, got {self._path}, whose first "
                "column is not the epoch. Pass another savefile."
            ) from error
        self.value_dict = {name: [math.nan] * initial_epoch for name in head[1:]}
        for place, (_, *cells) in zip(places, rows, strict=True):
            if place < initial_epoch:
                for name, cell in zip(head[1:], cells, strict=False):
                    self.value_dict[name][place] = _number(cell)

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        """Take the next value of a column; matrices have none.

        Args:
            name: The column.
            value: A number.
            **kwargs: Not used.
        """
        value = plain(value)
        if not is_matrix(name, value):
            self.value_dict.setdefault(name, [math.nan] * self._start).append(value)
            self._unsaved = True

    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Take the next values of several columns.

        Args:
            prefix: Not used.
            value_dict: Columns to numbers.
            **kwargs: Not used.
        """
        for name, value in value_dict.items():
            self.add_scalar(name, value)

    def save(self) -> None:
        """Write the table, as a whole or not at all."""
        columns = self.value_dict
        longest = max(map(len, columns.values()), default=0)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._written.note(".csv")
        with (
            replaced(self._path) as unfinished,
            unfinished.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, delimiter=";", lineterminator="\n")
            writer.writerow(["", *columns])
            for epoch in range(longest):
                cells = [
                    _cell(values[epoch] if epoch < len(values) else math.nan)
                    for values in columns.values()
                ]
                if epoch >= self._start or any(cells):
                    writer.writerow([epoch, *cells])
        self._unsaved = False
        self._tell_of_gaps(longest)

    def close(self) -> None:
        """Write what was added since the last `save`."""
        if self._unsaved:
            self.save()

    def _tell_of_gaps(self, longest: int) -> None:
        for name, values in self.value_dict.items():
            if longest - len(values) > 1 and name not in self._told:
                self._told.add(name)
                warn(
                    f"fathom.delve: column {name!r} has {len(values)} values where others have "
                    f"{longest}, and the n-th value stands in row n. Add it once every epoch, "
                    "nan where there is none."
                )


def _cell(value: Any) -> str:
    return "" if is_nan(value) else str(value)


def _number(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell or math.nan
