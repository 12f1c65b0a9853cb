"""Gram matrices of one batch, and how alike two of them are without the bias of few samples."""

import torch
from torch import Tensor

from fathom.errors import ShapeError
from fathom.spectral.precision import full_precision

LEAST_SAMPLES = 4
"""The unbiased estimate divides by n - 3."""


def linear_gram(features: Tensor) -> Tensor:
    """Return the inner products of samples about their mean.

    Taken about the mean, as products of features that lie far from 0 lose what tells samples
    apart: in float32 all of it at a mean of 10,000 standard deviations.

    Args:
        features: (n, f), in activation units.

    Returns:
        (n, n) float64, in squared activation units; not finite where a feature is not. Products are
        of float32 at least, and of float64 for float64 features.
    """
    if features.dtype != torch.float64:
        features = features.float()
    # Apple's GPUs hold no float64.
    exact = features.dtype if features.device.type == "mps" else torch.float64
    centred = features - features.mean(0, dtype=exact).to(features.dtype)
    with full_precision(features.device.type):
        product = centred @ centred.T
    if features.device.type == "mps":
        product = product.cpu()
    if not bool(product.isfinite().all()) and bool(features.isfinite().all()):
        centred = centred.to(product.device, torch.float64)
        product = centred @ centred.T
    return product.double()


def centred_pairs(gram: Tensor) -> Tensor:
    """Return a Gram matrix as a vector whose inner products are unbiased.

    The matrix without its diagonal, U-centred, above the diagonal. Linear in the matrix.

    Args:
        gram: (n, n) float64, n >= 4; any multiple of a constant added to features changes nothing.

    Returns:
        (n(n-1)/2,): `2 · a @ b / (n(n-3))` of two of them is the unbiased HSIC of Song et al.

    Raises:
        ShapeError: If there are fewer than four samples.

    References:
        Song et al. 2012, "Feature Selection via Dependence Maximization", equation 5; in the form
        of Székely and Rizzo 2014, "Partial distance correlation", definition 2.
    """
    n = len(gram)
    if n < LEAST_SAMPLES:
        raise ShapeError(
            f"centred_pairs: gram must be of at least {LEAST_SAMPLES} samples, got {n}. "
            "Give larger batches."
        )
    inner = gram.clone().fill_diagonal_(0)
    sums = inner.sum(1)
    inner -= (sums[:, None] + sums) / (n - 2)
    inner += sums.sum() / ((n - 1) * (n - 2))
    first, second = torch.triu_indices(n, n, 1, device=gram.device)
    return inner[first, second]
