"""Numbers of a training by epoch, as figures and findings both read them; NaN for none."""

import numpy as np
from numpy.typing import NDArray

from fathom.experiments.outcome import Numbers, Outcome
from fathom.experiments.statistics import rank_correlation

ALIKE = 0.9
"""From this rank correlation on a pattern is taken as that of the last epoch."""

LEAST_LAYERS = 5
"""Layers of a pattern: of five, an exchange of neighbours leaves a rank correlation of 0.9."""

_SHORTCUT = "downsample"


def curve(outcome: Outcome, *, phase: str = "eval") -> Numbers:
    """Return the saturation of the layer that the papers look at, else the average.

    Args:
        outcome: Of a training.
        phase: `train` or `eval`.

    Returns:
        (epochs,), in [0, 1].
    """
    return _of_network(outcome, outcome.saturation[phase])


def dimension(outcome: Outcome) -> Numbers:
    """Return the intrinsic dimension of the layer that the papers look at, else the mean.

    Args:
        outcome: Of a training.

    Returns:
        (epochs,), of the test data; the mean is without the output layer.
    """
    return _of_network(outcome, outcome.intrinsic_dimension["eval"])


def metric(outcome: Outcome, name: str) -> Numbers:
    """Return a metric.

    Args:
        outcome: Of a training.
        name: Such as `test_loss`.

    Returns:
        (epochs,).
    """
    epochs = len(outcome.saturation["eval"])
    return np.asarray(outcome.metrics.get(name, np.full(epochs, np.nan)), dtype=np.float64)


def last(values: Numbers) -> float:
    """Return the number after the last epoch.

    Args:
        values: (epochs,).

    Returns:
        NaN where there is none.
    """
    return float(values[-1]) if len(values) else np.nan


def in_sequence(outcome: Outcome) -> list[int]:
    """Return the places of the layers that follow each other: shortcuts lie beside others.

    Args:
        outcome: Of a training.

    Returns:
        Places in `layers`, in execution order, the output layer last.
    """
    return [place for place, name in enumerate(outcome.layers) if _SHORTCUT not in name]


def by_layer(outcome: Outcome) -> Numbers:
    """Return the saturation of the layers that follow each other.

    Args:
        outcome: Of a training.

    Returns:
        (epochs, layers), of the test data.
    """
    return outcome.saturation["eval"][:, in_sequence(outcome)]


def pattern(outcome: Outcome) -> NDArray[np.intp]:
    """Return the places of the layers of a pattern: in sequence, and not the output layer.

    As the average, a pattern is without the layer whose width the problem decides.

    Args:
        outcome: Of a training.
    """
    return np.array(in_sequence(outcome)[:-1], dtype=np.intp)


def likeness(outcome: Outcome) -> Numbers:
    """Return the rank correlation over the layers of each epoch's pattern with the last epoch's.

    Args:
        outcome: Of a training.

    Returns:
        (epochs,), in [−1, 1]; NaN where a pattern is flat or has a layer without a number.
    """
    rows = outcome.saturation["eval"][:, pattern(outcome)]
    return np.array(
        [
            rank_correlation(row, rows[-1]).value
            if np.isfinite(row).all() and np.isfinite(rows[-1]).all()
            else np.nan
            for row in rows
        ]
    )


def _of_network(outcome: Outcome, values: Numbers) -> Numbers:
    if outcome.focus is not None:
        return values[:, outcome.focus]
    if values.shape[1] < 2:
        return np.full(len(values), np.nan)
    return np.asarray(values[:, :-1].mean(1), dtype=np.float64)
