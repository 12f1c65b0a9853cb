"""The numbers of a snapshot under Delve's names of columns."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fathom.delve.arguments import tell
from fathom.delve.writers import STATMAP
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
        for phase in PHASES:
            readings, known = snapshot.phase(phase), self._known[phase]
            for _ in range(self._start, snapshot.step):
                for name in readings:
                    if name not in known:
                        yield self._columns(phase, name, None)
            known.update(dict.fromkeys(readings))
            for name in sorted(known, key=lambda each: each not in readings):
                yield self._columns(phase, name, readings.get(name), covariances.get((phase, name)))

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
