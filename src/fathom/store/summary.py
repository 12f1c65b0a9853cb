"""The few numbers of every reading of a step that views show of all steps at once."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fathom.reading import PHASES, Reading

STATUSES = ("provisional", "settling", "settled", "coarse")
"""Every status of a reading; a summary holds its place in here."""

_FIELDS = [
    ("layer", "<u4"),
    ("phase", "u1"),
    ("status", "u1"),
    ("width", "<u4"),
    ("dimension", "<f4"),
    ("at_least", "<f4"),
    ("rows", "<f8"),
    ("samples", "<f8"),
]
SUMMARY = np.dtype([*_FIELDS, ("probe_accuracy", "<f4")])
"""One reading: `layer` is its position in the run, `phase` the place in `PHASES`."""

Summary = NDArray[np.void]

SUMMARIES = {"summary": np.dtype(_FIELDS), "summary with probes": SUMMARY}
"""What was written by which version, by the kind of record that its checksum goes over."""

WRITTEN = "summary with probes"
"""What this version writes."""


def summary_of(readings: Iterable[Reading], positions: Mapping[str, int]) -> Summary:
    """Return the summary of the readings of a step.

    Args:
        readings: Of both phases.
        positions: Of the layers in the run, by name; other layers are left out.

    Returns:
        (readings,) of `SUMMARY`. A dimension that is not known is nan; all are whole numbers below
        2²⁴, which float32 holds exactly. So is an accuracy where there was no probe.
    """
    return np.array(
        [
            (
                positions[reading.layer.name],
                PHASES.index(reading.phase),
                STATUSES.index(reading.status),
                reading.width,
                reading.intrinsic_dimension,
                reading.at_least,
                reading.rows,
                reading.samples,
                reading.probe_accuracy,
            )
            for reading in readings
            if reading.layer.name in positions
        ],
        dtype=SUMMARY,
    )


def summary_from(kind: str, blob: bytes) -> Summary:
    """Return a summary as this version has it.

    Args:
        kind: A key of `SUMMARIES`.
        blob: Its bytes, whole.

    Returns:
        (readings,) of `SUMMARY`, with nan for what that version did not know.
    """
    found = np.frombuffer(blob, SUMMARIES[kind])
    if kind == WRITTEN:
        return found
    numbers = np.empty(len(found), SUMMARY)
    numbers["probe_accuracy"] = np.nan
    for name in found.dtype.names or ():
        numbers[name] = found[name]
    return numbers
