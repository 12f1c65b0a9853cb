"""How alike two sets of features are: slow, in float64 NumPy, straight from the papers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = NDArray[np.float64]


def flat(features: ArrayLike | Tensor) -> Array:
    """(n, f) float64 of any features of n samples."""
    if isinstance(features, Tensor):
        features = features.detach().cpu().double().numpy()
    array = np.asarray(features, dtype=np.float64)
    return array.reshape(len(array), -1)


def hsic(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """Song et al. 2012, equation 5, with the sums written out."""
    k, v = (each @ each.T for each in (flat(x), flat(y)))
    np.fill_diagonal(k, 0)
    np.fill_diagonal(v, 0)
    n = len(k)
    one = np.ones(n)
    trace = np.trace(k @ v)
    both = (one @ k @ one) * (one @ v @ one) / ((n - 1) * (n - 2))
    return float((trace + both - 2 / (n - 2) * (one @ k @ v @ one)) / (n * (n - 3)))


def cka(xs: Sequence[ArrayLike | Tensor], ys: Sequence[ArrayLike | Tensor]) -> float:
    """Nguyen et al. 2021, equation 3: means over batches, by their samples."""
    sizes = [len(flat(x)) for x in xs]
    pairs = ((xs, ys), (xs, xs), (ys, ys))
    between, of_x, of_y = (
        np.average([hsic(a, b) for a, b in zip(left, right, strict=True)], weights=sizes)
        for left, right in pairs
    )
    return float(between / np.sqrt(of_x * of_y))


def svcca(x: ArrayLike | Tensor, y: ArrayLike | Tensor, threshold: float = 0.99) -> float:
    """Raghu et al. 2017, by singular value decompositions of the rows themselves."""
    return float(_correlations(_leading(x, threshold), _leading(y, threshold))[1].mean())


def pwcca(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """Morcos et al. 2018, section 3, from canonical variates; weights of the smaller layer."""
    a, b = (flat(each) - flat(each).mean(0) for each in (x, y))
    qa, qb = (np.linalg.qr(each)[0] for each in (a, b))
    left, values, right = np.linalg.svd(qa.T @ qb, full_matrices=False)
    variates, neurons = (qa @ left, a) if a.shape[1] <= b.shape[1] else (qb @ right.T, b)
    weights = np.abs(variates.T @ neurons).sum(axis=1)
    return float((weights * values).sum() / weights.sum())


def _leading(features: ArrayLike | Tensor, threshold: float) -> Array:
    rows = flat(features)
    rows = rows - rows.mean(0)
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    share = np.cumsum(values**2) / (values**2).sum()
    count = int(np.searchsorted(share, threshold)) + 1
    return np.asarray(left[:, :count] * values[:count])


def _correlations(a: Array, b: Array) -> tuple[Array, Array, Array]:
    qa, qb = (np.linalg.qr(each)[0] for each in (a, b))
    left, values, right = np.linalg.svd(qa.T @ qb, full_matrices=False)
    return left, values, right
