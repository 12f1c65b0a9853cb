"""A CSV file that only ever grows."""

import csv
import io
import os
from pathlib import Path
from typing import BinaryIO

from fathom.errors import ArgumentError
from fathom.snapshot import Snapshot
from fathom.views.export import COLUMNS, tidy_rows

_HEADER = (",".join(COLUMNS) + "\n").encode()


class CSV:
    """Appends every number to a CSV file: the tidy table that `fathom export` writes.

    A snapshot goes to the disk as a whole, after the last, so that a killed process loses none that
    was written; a line that a kill cut short is taken away when the file is opened again. A step
    that is recorded again comes again, below.

    Example:
        >>> import fathom, fathom.sinks, tempfile, torch
        >>> path = tempfile.mkdtemp() + "/numbers.csv"
        >>> model = torch.nn.Linear(3, 2)
        >>> with fathom.watch(model, sinks=[fathom.sinks.CSV(path)]) as monitor:
        ...     _ = model(torch.randn(10, 3))
        ...     _ = monitor.snapshot(step=0)
        >>> with open(path) as file:
        ...     print(file.readline().strip())
        step,phase,layer,kind,width,rows,samples,statistic,value
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Open the file, or begin it.

        Args:
            path: The file; its folder is made.

        Raises:
            ArgumentError: If there is another file.
            OSError: If it cannot be written.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b", buffering=0)
        try:
            _begin(self._file, path)
        except BaseException:
            self._file.close()
            raise

    def write(self, snapshot: Snapshot) -> None:
        """Append a snapshot.

        Args:
            snapshot: What was measured.
        """
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(tidy_rows(snapshot))
        _append(self._file, text.getvalue().encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _begin(file: BinaryIO, path: Path) -> None:
    file.seek(0)
    head = file.readline()
    if _HEADER.startswith(head) and head != _HEADER:
        file.truncate(0)
        _append(file, _HEADER)
    elif head != _HEADER:
        raise ArgumentError(
            f"CSV: path must be a new file or one that CSV wrote, got {path}, which begins with "
            f"{head[:60]!r}. Pass another path."
        )
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
