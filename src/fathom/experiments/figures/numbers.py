"""Numbers of trainings as figures need them; what was not measured is nan and stays so."""

from collections.abc import Sequence

import numpy as np

from fathom.experiments.outcome import Numbers


def stacked(rows: Sequence[Numbers]) -> Numbers:
    """Put repetitions over each other.

    Args:
        rows: (epochs, ...) each; some may have fewer epochs.

    Returns:
        (repetitions, epochs, ...), nan where there was no such epoch, and for what is not finite.
    """
    most = max(map(len, rows))
    found = np.full((len(rows), most, *rows[0].shape[1:]), np.nan)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    found[~np.isfinite(found)] = np.nan
    return found


def spread(values: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return mean, least and greatest over repetitions.

    Args:
        values: (repetitions, ...); nan counts for nothing.

    Returns:
        Three arrays without the first axis; nan where all repetitions are.
    """
    known = np.isfinite(values)
    counts = known.sum(0)
    sums = np.where(known, values, 0.0).sum(0)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means, np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
