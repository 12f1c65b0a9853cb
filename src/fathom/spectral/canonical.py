"""Canonical correlations from covariances, and the two means of them that the papers take."""

from typing import NamedTuple

import torch
from torch import Tensor

from fathom.spectral.statistics import intrinsic_dimension
from fathom.spectral.vectors import FLOAT64_EPS


class Leading(NamedTuple):
    """The leading eigendirections of a layer.

    Attributes:
        whitening: (d, k), which makes features of variance 1 without correlation.
        loadings: (k, d), the covariance of each of those with each feature.
    """

    whitening: Tensor
    loadings: Tensor

    @property
    def dimension(self) -> int:
        """k; 0 of a layer that does not vary."""
        return len(self.loadings)


def leading(
    covariance: Tensor, mean: Tensor, *, threshold: float = 1.0, resolution: float = 0.0
) -> Leading:
    """Return the directions that carry a share of the variance, and more than rounding.

    Args:
        covariance: (d, d) float64, in squared activation units.
        mean: (d,), in activation units.
        threshold: The share, in (0, 1]: as many as `fathom.intrinsic_dimension` counts.
        resolution: The relative step from one number to the next in the type of the activations,
            whose rounding spreads evenly over all directions.

    Returns:
        At most d of them.
    """
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues, vectors = eigenvalues.flip(0).clamp(min=0), vectors.flip(1)
    width = len(mean)
    squares = float(eigenvalues.sum() + mean.square().sum())
    # Half a step either way is a variance of step² / 12; sums of several numbers round more often.
    noise = max(4 * resolution**2 * squares / width, float(eigenvalues[0]) * width * FLOAT64_EPS)
    eigenvalues[eigenvalues <= noise] = 0
    count = int((eigenvalues > 0).sum())
    if threshold < 1:
        count = min(count, intrinsic_dimension(eigenvalues, threshold=threshold))
    deviations, vectors = eigenvalues[:count].sqrt(), vectors[:, :count]
    return Leading(vectors / deviations, (vectors * deviations).T)


class Correlations(NamedTuple):
    """Canonical correlations of two layers.

    Attributes:
        values: (r,), descending, in [0, 1], r the fewer directions of the two.
        of_a: (ka, r), the canonical directions within those of the first layer.
        of_b: (kb, r), of the second.
    """

    values: Tensor
    of_a: Tensor
    of_b: Tensor


def canonical_correlations(cross: Tensor, a: Leading, b: Leading) -> Correlations:
    """Return the correlations of the pairs of directions that go together most.

    Args:
        cross: (da, db), the cross-covariance.
        a: Of the first layer, at least one.
        b: Of the second, at least one.

    Returns:
        As many as the layer with fewer directions has.

    References:
        Hotelling 1936, "Relations between two sets of variates".
    """
    between = a.whitening.T @ cross @ b.whitening
    left, values, right = torch.linalg.svd(between, full_matrices=False)
    return Correlations(values.clamp(0, 1), left, right.T)


def mean_correlation(found: Correlations) -> float:
    """Return the mean of the canonical correlations.

    References:
        Raghu et al. 2017, "SVCCA", section 2; the singular vectors are chosen before.
    """
    return float(found.values.mean())


def projection_weighted(found: Correlations, a: Leading, b: Leading) -> float:
    """Return the mean of the correlations, each by how much of a layer its direction accounts for.

    Args:
        found: Of the two layers.
        a: Of the first layer; the weights are of the one with fewer directions, or of this one.
        b: Of the second.

    Returns:
        In [0, 1].

    References:
        Morcos, Raghu and Bengio 2018, "Insights on representational similarity in neural networks
        with canonical correlation", section 3; as their code takes the layer with fewer directions.
    """
    inside, layer = (found.of_a, a) if a.dimension <= b.dimension else (found.of_b, b)
    # Of each canonical variate the inner products with all neurons, in magnitude.
    weights = (inside.T @ layer.loadings).abs().sum(1)
    return float((weights * found.values).sum() / weights.sum())
