"""Numbers of trainings as figures need them; what was not measured is nan and stays so."""

from collections.abc import Sequence

import numpy as np

from fathom.experiments.outcome import Numbers, Outcome
from fathom.extras import require

_SHORTCUT = "downsample"


def level(outcome: Outcome) -> Numbers:
    """Return the saturation that stands for a network: of its focus layer, or else the average.

    Args:
        outcome: A training.

    Returns:
        (epochs,), of the test data.
    """
    return _of_network(outcome, outcome.saturation["eval"])


def dimension(outcome: Outcome) -> Numbers:
    """Return the intrinsic dimension of the focus layer, or else the mean over the layers.

    Args:
        outcome: A training.

    Returns:
        (epochs,), of the test data; the mean is without the output layer.
    """
    return _of_network(outcome, outcome.intrinsic_dimension["eval"])


def metric(outcome: Outcome, name: str) -> Numbers:
    """Return a metric at every epoch.

    Args:
        outcome: A training.
        name: Such as `test_loss`.

    Returns:
        (epochs,); nan where it was not measured.
    """
    epochs = len(outcome.saturation["eval"])
    return np.asarray(outcome.metrics.get(name, np.full(epochs, np.nan)), dtype=np.float64)


def last(values: Numbers) -> float:
    """Return the number after the last epoch; nan where there is none."""
    return float(values[-1]) if len(values) else float("nan")


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


def in_sequence(outcome: Outcome) -> list[int]:
    """Return the places of the layers that follow each other: shortcuts lie beside others.

    Args:
        outcome: A training.

    Returns:
        Places in `layers`, in execution order, the output layer last.
    """
    return [place for place, name in enumerate(outcome.layers) if _SHORTCUT not in name]


def by_layer(outcome: Outcome) -> Numbers:
    """Return the saturation of the layers that follow each other.

    Args:
        outcome: A training.

    Returns:
        (epochs, layers), of the test data.
    """
    return outcome.saturation["eval"][:, in_sequence(outcome)]


def pattern_correlation(values: Numbers) -> Numbers:
    """Return how alike the order of the layers is at each epoch and at the last one.

    Args:
        values: (epochs, layers), of saturation.

    Returns:
        (epochs,), Spearman's ρ over the layers, in [-1, 1]; nan where a layer was not measured, or
        all are alike.
    """
    rankdata = require("scipy.stats", extra="experiments").rankdata
    known = np.asarray(np.isfinite(values).all(1))
    found = np.full(len(values), np.nan)
    if not known.any() or not known[-1]:
        return found
    ranks = rankdata(values[known], axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    products = ranks @ ranks[-1]
    scales = np.sqrt((ranks**2).sum(1) * products[-1])
    rho = np.divide(products, scales, out=np.full(len(scales), np.nan), where=scales > 0)
    found[known] = np.clip(rho, -1.0, 1.0)
    return found


def _of_network(outcome: Outcome, values: Numbers) -> Numbers:
    if outcome.focus is not None:
        return values[:, outcome.focus]
    if values.shape[1] < 2:
        return np.full(len(values), np.nan)
    return np.asarray(values[:, :-1].mean(1), dtype=np.float64)
