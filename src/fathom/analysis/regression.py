"""The probe of one layer: scikit-learn's multinomial logistic regression."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.extras import require

TOLERANCE = 1e-6
"""Of the gradient of the mean loss. At 1e-4, scikit-learn's own, the train accuracy of the first
layer of a small VGG16 on the digits was off by 0.0007; 1e-8 took up to five times as long as 1e-6,
for the same accuracies."""

_ITERATIONS = 10_000
_LEGACY_ITERATIONS = 100

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted probe, on features as they come.

    Attributes:
        classes: (k,) class numbers, ascending.
        weights: (k, f), or (1, f) of two classes.
        intercept: (k,) or (1,).
        accuracy: On what it was fitted on.
        converged: Whether it is the minimum.
    """

    classes: NDArray[np.int64]
    weights: Array
    intercept: Array
    accuracy: float
    converged: bool

    def right(self, features: NDArray[np.floating], labels: NDArray[np.int64]) -> int:
        """Return how many samples it tells the class of.

        Args:
            features: (n, f).
            labels: (n,) class numbers.
        """
        scores = features.astype(np.float64, copy=False) @ self.weights.T + self.intercept
        return int((_chosen(scores, self.classes) == labels).sum())


def fitted(
    features: NDArray[Any], labels: NDArray[np.int64], *, copies: int = 1, legacy: bool = False
) -> Fit:
    """Fit a probe: L2 with C = 1, on standardised features, run to convergence.

    Args:
        features: (n, f), float64, or float32 of a legacy probe; overwritten.
        labels: (n,) class numbers, of at least two classes.
        copies: How often each feature counts: f columns, each `copies` times, are fitted as the f
            columns times its square root, which has the same minimum.
        legacy: saga, 100 iterations, no scaling, as in the experiments behind Richter et al. 2021.

    Returns:
        The fit.
    """
    regression = require("sklearn.linear_model", extra="probes").LogisticRegression
    scale = np.full(features.shape[1], np.sqrt(copies), features.dtype)
    mean = np.zeros(features.shape[1], features.dtype)
    if legacy:
        model = regression(C=1.0, solver="saga", max_iter=_LEGACY_ITERATIONS, random_state=0)
    else:
        mean, deviation = _standardise(features)
        scale /= deviation
        model = regression(C=1.0, solver="lbfgs", tol=TOLERANCE, max_iter=_ITERATIONS)
    if copies > 1:
        features *= np.sqrt(copies).astype(features.dtype)
    model.fit(features, labels)
    scores = features @ model.coef_.T + model.intercept_
    if legacy:
        converged = bool(model.n_iter_.max() < _LEGACY_ITERATIONS)
    else:
        # With what rounding adds between scikit-learn's own sum and this one.
        converged = _steepest(features, labels, model, scores) <= 1.01 * TOLERANCE
    weights = model.coef_.astype(np.float64) * scale
    return Fit(
        classes=model.classes_,
        weights=weights,
        intercept=model.intercept_ - weights @ mean,
        accuracy=float((_chosen(scores, model.classes_) == labels).mean()),
        converged=converged,
    )


def workspace(samples: int, features: int, classes: int, *, legacy: bool = False) -> int:
    """Return how many bytes `fitted` takes, with the features that it is given.

    Args:
        samples: n.
        features: f.
        classes: k.
        legacy: As of `fitted`.

    Returns:
        At most, as measured: SciPy's L-BFGS-B remembers 10 steps, 45 times the weights in all, and
        the scores of all samples are taken several times.
    """
    weights = (features + 1) * (1 if classes == 2 else classes)
    scores = samples * classes
    if legacy:
        return 4 * samples * features + 8 * (8 * weights + 8 * scores)
    return 8 * samples * features + 8 * (48 * weights + 8 * scores)


def _standardise(features: Array) -> tuple[Array, Array]:
    """Scale to mean 0 and variance 1 in place; what is constant up to rounding is left at 0."""
    samples = len(features)
    mean = features.mean(0)
    features -= mean
    variance = np.einsum("ij,ij->j", features, features) / samples
    # As scikit-learn's StandardScaler tells what is constant.
    precision = samples * np.finfo(np.float64).eps
    constant = variance <= precision * variance + (precision * mean) ** 2
    deviation = np.where(constant, 1.0, np.sqrt(variance))
    features /= deviation
    return mean, deviation


def _steepest(features: Array, labels: NDArray[np.int64], model: Any, scores: Array) -> float:
    """Return the largest slope of what is minimised, which is 0 at the minimum and only there.

    The mean loss plus |weights|²/(2n), convex in the weights.
    """
    place = np.searchsorted(model.classes_, labels)
    if scores.shape[1] == 1:
        residual = 1 / (1 + np.exp(-np.clip(scores, -700, 700)))
        residual[:, 0] -= place
    else:
        residual = np.exp(scores - scores.max(1, keepdims=True))
        residual /= residual.sum(1, keepdims=True)
        residual[np.arange(len(labels)), place] -= 1
    slopes = (residual.T @ features + model.coef_) / len(labels)
    return float(max(np.abs(slopes).max(), np.abs(residual.mean(0)).max()))


def _chosen(scores: NDArray[Any], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    place: NDArray[Any] = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(1)
    return np.take(classes, place.astype(np.int64))
