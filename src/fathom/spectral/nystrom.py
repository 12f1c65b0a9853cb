"""The leading eigenvalues of a matrix from a sketch of it, and what they leave out."""

from typing import NamedTuple

import torch
from torch import Tensor

from fathom.spectral.sketch import Sketch

# Below this share of the largest, what is left of the directions is the rounding of float32.
_ROUNDING = 1e-7


class Leading(NamedTuple):
    """What a sketch says of a covariance C.

    Attributes:
        eigenvalues: (l,) float64 on the CPU, descending: of a matrix below C, and so each at most
            that of C, in squared activation units.
        total: The trace of C.
        residual: The Frobenius norm of what C has beyond that matrix, in squared units: an
            estimate, at most 2% too small in all that was measured, and too large where the
            eigenvalues fall off fast.
    """

    eigenvalues: Tensor
    total: float
    residual: float


def leading(sketch: Sketch) -> Leading:
    """Return the Nyström approximation of the covariance that was sketched, by its eigenvalues.

    It is Y(ΩᵀY)⁺Yᵀ, and exact where the covariance has fewer directions than the sketch columns.

    Args:
        sketch: Of n rows.

    Returns:
        The eigenvalues, of covariance with divisor n.

    References:
        Tropp, Yurtsever, Udell and Cevher 2017, "Fixed-rank approximation of a
        positive-semidefinite matrix from streaming data": directions lost in rounding are left out
        here, where it shifts by them, so that what is found lies below C. Epperly and Tropp 2023,
        "Efficient error and variance estimation for randomized matrix computations": the residual,
        by leaving one column out at a time.
    """
    count = sketch.count.clamp(min=1)
    total = float((sketch.squares / count).sum())
    inner, outer = (each.cpu() / count.cpu() for each in _products(sketch))
    outer /= count.cpu()
    values, vectors = torch.linalg.eigh((inner + inner.T) / 2)
    kept = values > values[-1] * _ROUNDING
    values, vectors = values[kept], vectors[:, kept]
    eigenvalues = torch.zeros(sketch.columns, dtype=torch.float64, device="cpu")
    if not len(values):
        return Leading(eigenvalues, total, 0.0)
    roots = vectors / values.sqrt()
    found = torch.linalg.eigvalsh(roots.T @ outer @ roots).flip(0).clamp(min=0)
    eigenvalues[: len(found)] = found
    # A positive matrix is no longer than its trace.
    residual = max(total - float(found.sum()), 0.0)
    if kept.all():
        inverse = vectors / values @ vectors.T
        left_out = (inverse @ outer @ inverse).diagonal() / inverse.diagonal().square()
        residual = min(residual, float(left_out.clamp(min=0).mean().sqrt()))
    return Leading(eigenvalues, total, residual)


def _products(sketch: Sketch) -> tuple[Tensor, Tensor]:
    """Return (l, l) ΩᵀY and YᵀY, in parts, as a copy of Y in another type would double it."""
    inner = sketch.products.new_zeros(sketch.columns, sketch.columns)
    outer = torch.zeros_like(inner)
    for part in sketch.signs.parts():
        block = sketch.products[part]
        inner.addmm_(sketch.signs.values[part].T.double(), block)
        outer.addmm_(block.T, block)
    return inner, outer
