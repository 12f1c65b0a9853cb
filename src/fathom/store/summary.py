"""The few numbers of every reading of a step that views show of all steps at once."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fathom.reading import PHASES, Reading

STATUSES = ("provisional", "settling", "settled", "coarse")
"""Every status of a reading; a summary holds its place in here."""

SUMMARY = np.dtype(
    [
        ("layer", "<u4"),
        ("phase", "u1"),
        ("status", "u1"),
        ("width", "<u4"),
        ("dimension", "<f4"),
        ("at_least", "<f4"),
        ("rows", "<f8"),
        ("samples", "<f8"),
    ]
)
"""One reading: `layer` is its position in the run, `phase` the place in `PHASES`."""

Summary = NDArray[np.void]


def summary_of(readings: Iterable[Reading], positions: Mapping[str, int]) -> Summary:
    """Return the summary of the readings of a step.

    Args:
        readings: Of both phases.
        positions: Of the layers in the run, by name; other layers are left out.

    Returns:
        (readings,) of `SUMMARY`. A dimension that is not known is nan; all are whole numbers below
        2²⁴, which float32 holds exactly.
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
            )
            for reading in readings
            if reading.layer.name in positions
        ],
        dtype=SUMMARY,
    )
