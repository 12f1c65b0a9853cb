"""The features of many layers, gathered in one pass, in memory or in a file that has no name."""

import tempfile
import threading
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fathom.errors import ArgumentError
from fathom.text import size


def _nameless() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="fathom-probe-")


class Gathering:
    """Rows by layer, of which no more than a bound are in memory; the rest is in one file.

    The file is deleted as soon as it is made, or by the system with the last handle on it, so that
    no way to end a process leaves it behind.
    """

    def __init__(self, most: int):
        """Gather nothing yet.

        Args:
            most: Bytes to hold in memory.
        """
        self._most = most
        self._held = 0
        self._parts: dict[str, list[NDArray[np.float32] | tuple[int, tuple[int, ...]]]] = {}
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return self._held

    @property
    def spilled(self) -> bool:
        """Whether anything is in the file."""
        return self._file is not None

    def add(self, name: str, values: NDArray[np.float32]) -> None:
        """Add rows of a layer.

        Args:
            name: Of the layer.
            values: (b, f), which is kept as it is.
        """
        parts = self._parts.setdefault(name, [])
        if self._file is not None:
            parts.append(self._written(self._file, values))
            return
        parts.append(values)
        self._held += values.nbytes
        if self._held > self._most:
            self.spill()

    def spill(self) -> None:
        """Move all that is in memory into the file."""
        self._file = self._file or _nameless()
        for parts in self._parts.values():
            for place, part in enumerate(parts):
                if isinstance(part, np.ndarray):
                    parts[place] = self._written(self._file, part)
        self._held = 0

    def into(self, name: str, target: NDArray[np.floating]) -> None:
        """Copy the rows of a layer, in the order in which they were added; any thread may.

        Args:
            name: Of the layer.
            target: (n, f), of any floating type.
        """
        start = 0
        for part in self._parts[name]:
            rows = part if isinstance(part, np.ndarray) else self._read(*part)
            target[start : start + len(rows)] = rows
            start += len(rows)

    def drop(self, name: str) -> None:
        """Let go of a layer.

        Args:
            name: Of the layer.
        """
        for part in self._parts.pop(name, []):
            if isinstance(part, np.ndarray):
                with self._lock:
                    self._held -= part.nbytes

    def _written(self, file: IO[bytes], values: NDArray[np.float32]) -> tuple[int, tuple[int, ...]]:
        try:
            place = file.seek(0, 2)
            file.write(np.ascontiguousarray(values).data)
            file.flush()
        except OSError as error:
            raise ArgumentError(
                f"probe: memory must be enough, or {tempfile.gettempdir()} have room for what is "
                f"more, got {size(self._most)}: {error}. Raise memory=, or set TMPDIR to another "
                "folder."
            ) from error
        return place, values.shape

    def _read(self, place: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        assert self._file is not None
        values = np.empty(shape, np.float32)
        with self._lock:
            self._file.seek(place)
            self._file.readinto(values.data)  # type: ignore[attr-defined]
        return values

    def close(self) -> None:
        """Let go of everything."""
        self._parts.clear()
        self._held = 0
        if self._file is not None:
            self._file.close()
