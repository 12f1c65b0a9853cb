"""A CSV file that only ever grows."""

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from fathom.errors import ArgumentError
from fathom.reading import PHASES
from fathom.sinks.names import checked
from fathom.snapshot import Snapshot
from fathom.views.export import COLUMNS, numbers_by_reading

_HEADER = (",".join(COLUMNS) + "\n").encode()


class CSV:
    """Appends every number to a CSV file: the tidy table that `fathom export` writes, and more.

    Each phase has a row with its `average_saturation` too, without a layer, and each metric of
    yours one without a phase.

    A snapshot goes to the disk as a whole, after the last, so that a killed process loses none that
    was written; a line that a kill cut short is taken away when the file is written to again. A
    step that is recorded again comes again, below.

    Example:
        >>> import fathom, tempfile, torch
        >>> path = tempfile.mkdtemp() + "/numbers.csv"
        >>> model = torch.nn.Linear(3, 2)
        >>> with fathom.watch(model, sinks=[fathom.sinks.CSV(path)]) as monitor:
        ...     _ = model(torch.randn(10, 3))
        ...     _ = monitor.snapshot(step=0)
        >>> with open(path) as file:
        ...     print(file.readline().strip())
        step,phase,layer,kind,width,rows,samples,statistic,value
    """

    def __init__(
        self, path: str | os.PathLike[str], *, statistics: Sequence[str] | None = None
    ) -> None:
        """Name the file; it is begun, or gone on with, at the first snapshot.

        Args:
            path: The file; its folder is made. Beside it there may be a lock, `path.lock`.
            statistics: Of each layer, some of `fathom.STATISTICS`; None for all that are known.

        Raises:
            ArgumentError: If there is another file, or a statistic is none.
            OSError: If it cannot be written.
        """
        self._statistics = None if statistics is None else checked(statistics, where="CSV")
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO | None = None
        with self._opened() as file:
            _refuse_another(file, self._path)

    def write(self, snapshot: Snapshot) -> None:
        """Append a snapshot.

        Args:
            snapshot: What was measured.
        """
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(_rows(snapshot, self._statistics))
        # Many processes may have been given one file, and each would cut off another's line.
        with FileLock(f"{self._path}.lock"):
            if self._file is None:
                self._file = self._opened()
                _begin(self._file, self._path)
            _append(self._file, text.getvalue().encode())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        return self._path.open("a+b", buffering=0)


def _rows(snapshot: Snapshot, statistics: Sequence[str] | None) -> Iterator[tuple[object, ...]]:
    for reading, numbers in numbers_by_reading(snapshot, statistics=statistics):
        for statistic, value in numbers.items():
            yield (*reading, statistic, float(value))
    nothing = [""] * 5
    for phase in PHASES:
        average = snapshot.average_saturation(phase)
        if math.isfinite(average):
            yield (snapshot.step, phase, *nothing, "average_saturation", average)
    for name, value in snapshot.metrics.items():
        yield (snapshot.step, "", *nothing, name, value)


def _refuse_another(file: BinaryIO, path: Path) -> bytes:
    """Return the file's first line, which is the header, or its beginning."""
    file.seek(0)
    head = file.readline(len(_HEADER))
    if not _HEADER.startswith(head):
        raise ArgumentError(
            f"CSV: path must be a new file or one that CSV wrote, got {path}, which begins with "
            f"{head[:60]!r}. Pass another path."
        )
    return head


def _begin(file: BinaryIO, path: Path) -> None:
    if _refuse_another(file, path) != _HEADER:
        file.truncate(0)
        _append(file, _HEADER)
    file.truncate(_end_of_lines(file))


def _end_of_lines(file: BinaryIO) -> int:
    """Return where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 2**16)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _append(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())
