"""What every number should be: slow, in float64 NumPy, straight from the definitions."""

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = NDArray[np.float64]

# Eigenvalues, threshold, and the smallest k that reaches it (Shenk et al. 2019, equation 1).
DECIDING_CASES = [
    ([0.985, 0.01, 0.005], 0.99, 2),
    ([1.0, 1.0], 0.99, 2),
    ([1.0] * 10, 0.99, 10),
    ([1.0, 0.0, 0.0], 0.99, 1),
    ([3.0, 1.0, 0.0, 0.0], 0.9, 2),
    ([0.0, 0.0, 0.0], 0.99, 0),
]


def covariance(rows: ArrayLike | Tensor) -> Array:
    """The covariance of (n, d) rows with divisor n, in two passes."""
    values = _float64(rows)
    centred = values - values.mean(axis=0)
    return np.asarray(centred.T @ centred / len(values))


def eigenvalues(rows: ArrayLike | Tensor) -> Array:
    """The eigenvalues of that covariance, descending, clipped at 0."""
    return np.linalg.eigvalsh(covariance(rows))[::-1].clip(min=0)


def intrinsic_dimension(values: ArrayLike, threshold: float = 0.99) -> int:
    """The smallest k whose leading sum reaches the threshold, in exact arithmetic."""
    exact = sorted((Fraction(value) for value in np.asarray(values, float).tolist()), reverse=True)
    target = Fraction(threshold) * sum(exact)
    total = Fraction(0)
    for k, value in enumerate(exact):
        if total >= target:
            return k
        total += value
    return len(exact)


def margin_at_cut(values: ArrayLike, threshold: float = 0.99) -> float:
    """How far, as a share of the variance, the threshold is from the nearest cumulative sum."""
    descending = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    cumulative = np.cumsum(descending)
    if cumulative[-1] == 0:
        return 1.0
    return float(np.abs(cumulative / cumulative[-1] - threshold).min())


def leading_directions(rows: ArrayLike | Tensor, dimension: int) -> Array:
    """(d, k) eigenvectors of the covariance, of the largest eigenvalues, those first."""
    vectors = np.linalg.eigh(covariance(rows))[1][:, ::-1]
    return np.asarray(vectors[:, :dimension])


def projected(rows: ArrayLike | Tensor, directions: Array, mean: Array) -> Array:
    """(n, d) rows, each on the (d, k) directions about a mean, as the formula has it."""
    return np.asarray((_float64(rows) - mean) @ directions @ directions.T + mean)


def effective_rank(values: ArrayLike) -> float:
    shares = _positive_shares(values)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def rankme(rows: ArrayLike) -> float:
    """RankMe from the singular values of the rows themselves."""
    singular = np.linalg.svd(np.asarray(rows, dtype=np.float64), compute_uv=False)
    return effective_rank(singular)


def participation_ratio(values: ArrayLike) -> float:
    array = np.asarray(values, dtype=np.float64)
    return float(array.sum() ** 2 / (array**2).sum())


def stable_rank(values: ArrayLike) -> float:
    array = np.asarray(values, dtype=np.float64)
    return float(array.sum() / array.max())


def _float64(rows: ArrayLike | Tensor) -> Array:
    """Rows of any type on any device as float64."""
    if isinstance(rows, Tensor):
        rows = rows.detach().cpu().double().numpy()
    return np.asarray(rows, dtype=np.float64)


def _positive_shares(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    array = array[array > 0]
    return np.asarray(array / array.sum())


def oas_of_classes(rows: ArrayLike, classes: ArrayLike) -> float:
    """The shrinkage of the covariance within classes by OAS (Chen et al. 2010, equation 23)."""
    values, labels = _float64(rows), np.asarray(classes)
    within = np.zeros((values.shape[1], values.shape[1]))
    for each in np.unique(labels):
        apart = values[labels == each] - values[labels == each].mean(axis=0)
        within += apart.T @ apart / len(values)
    n, d = values.shape
    squares, trace = np.trace(within @ within), np.trace(within)
    above = (1 - 2 / d) * squares + trace**2
    return float(min(1.0, above / ((n + 1 - 2 / d) * (squares - trace**2 / d))))
