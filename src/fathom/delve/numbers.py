"""The numbers of a snapshot under Delve's names of columns."""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fathom.delve.arguments import tell
from fathom.delve.writers import STATMAP
from fathom.errors import warn
from fathom.reading import PHASES, Reading
from fathom.snapshot import Snapshot

_VALUES: Mapping[str, Callable[[Reading], float]] = {
    "lsat": lambda reading: reading.saturation,
    "idim": lambda reading: reading.intrinsic_dimension,
    "det": lambda reading: _determinant(reading),
    "trc": lambda reading: reading.statistics["total_variance"],
    "dtrc": lambda reading: reading.statistics["diagonal_trace"],
}


class Numbers:
    """Names the numbers of each epoch; every column that has begun has a value at every epoch."""

    def __init__(self, stats: Sequence[str], start: int):
        """Begin without columns.

        Args:
            stats: Delve's names of the statistics, in the order of the columns.
            start: The first epoch.
        """
        self._stats = stats
        self._start = start
        self._known: dict[str, dict[str, None]] = {phase: {} for phase in PHASES}
        self._told: set[str] = set()

    def know(self, layers: Iterable[str], columns: Container[str]) -> None:
        """Take over which columns have begun.

        Args:
            layers: Names of the tracked layers.
            columns: Of a table that is gone on with.
        """
        for name in layers:
            for phase in PHASES:
                if any(column in columns for column in self._columns(phase, name, None)):
                    self._known[phase][name] = None

    def of(
        self, snapshot: Snapshot, covariances: Mapping[tuple[str, str], Any]
    ) -> Iterator[dict[str, Any]]:
        """Go through the layers.

        Args:
            snapshot: Of an epoch, by Delve's names.
            covariances: Matrices by phase and name.

        Yields:
            Columns to values of a layer in a phase; nan where it was not seen, and first for the
            epochs before, where it is seen for the first time.
        """
        self._tell_of_sketches(snapshot)
        for phase in PHASES:
            readings, known = snapshot.phase(phase), self._known[phase]
            for _ in range(self._start, snapshot.step):
                for name in readings:
                    if name not in known:
                        yield self._columns(phase, name, None)
            known.update(dict.fromkeys(readings))
            for name in sorted(known, key=lambda each: each not in readings):
                yield self._columns(phase, name, readings.get(name), covariances.get((phase, name)))

    def _tell_of_sketches(self, snapshot: Snapshot) -> None:
        """Say once of each layer that it is too wide for a covariance matrix."""
        new = {
            name: reading.width
            for phase in PHASES
            for name, reading in snapshot.phase(phase).items()
            if reading.sketched and name not in self._told
        }
        if new:
            self._told.update(new)
            name, width = next(iter(new.items()))
            more = f" and {len(new) - 1} more" if len(new) > 1 else ""
            warn(
                f"fathom.delve: layer {name!r} of width {width}{more} is too wide for a covariance "
                "matrix and is sketched: its trace is exact, its dimension is there where the "
                "sketch holds sat_threshold of the variance, cov and det are not. Use "
                "fathom.watch(max_width=...) for a matrix."
            )

    def _columns(
        self, phase: str, name: str, reading: Reading | None, covariance: Any = None
    ) -> dict[str, Any]:
        columns = {}
        for stat in self._stats:
            column = f"{phase}-{STATMAP[stat]}_{name}"
            if stat == "cov":
                columns[column] = math.nan if covariance is None else covariance
            else:
                columns[column] = math.nan if reading is None else _VALUES[stat](reading)
        return columns


def _determinant(reading: Reading) -> float:
    value = reading.statistics["determinant"]
    logarithm = reading.statistics["log_determinant"]
    if math.isfinite(logarithm) and (value == 0 or math.isinf(value)):
        way = "too small" if value == 0 else "too large"
        tell(
            [
                f"A covariance-determinant is {way} for a float and stands as {value:g}; "
                "log_determinant of the run has its logarithm."
            ]
        )
    return value
