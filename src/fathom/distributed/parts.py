"""What ranks add up of a layer: tensors whose sum over all ranks is that of all rows."""

import torch
from torch import Tensor

from fathom.spectral.moments import Moments
from fathom.spectral.signs import Signs
from fathom.spectral.sketch import Sketch

Parts = tuple[Tensor, ...]
"""A scatter; or of a sketch its products and its squares. On the CPU."""


def columns_of(moments: Moments | Sketch) -> int | None:
    """Return the columns of a sketch, None of moments."""
    return moments.columns if isinstance(moments, Sketch) else None


def work_of(width: int, columns: int | None) -> int:
    """Return what a decomposition takes, up to a factor: d³, or d·l² of a sketch.

    Args:
        width: d.
        columns: l; None of moments.
    """
    return width**3 if columns is None else width * columns**2


def parts_about(moments: Moments | Sketch, mean: Tensor) -> Parts:
    """Return what one rank adds.

    Args:
        moments: Of the rank's rows; used up.
        mean: (d,) float64 on the CPU, of the rows of all ranks, about which they are taken.

    Returns:
        Tensors that may be those of `moments` itself.
    """
    if isinstance(moments, Sketch):
        moments.centre(mean.to(moments.mean.device))
        return moments.products.cpu(), moments.squares.cpu()
    apart = moments.mean.cpu() - mean
    scatter = moments.scatter.cpu()
    scatter.addr_(apart, apart, alpha=int(moments.count))
    return (scatter,)


def no_parts(width: int, columns: int | None) -> Parts:
    """Return what a rank without rows adds.

    Args:
        width: d.
        columns: l; None of moments.

    Returns:
        Zeros.
    """
    shapes = [(width, width)] if columns is None else [(width, columns), (width,)]
    return tuple(torch.zeros(shape, dtype=torch.float64, device="cpu") for shape in shapes)


def joined(
    parts: Parts, mean: Tensor, *, count: int, dropped: int, heaviest: int, read: int
) -> Moments | Sketch:
    """Return what the sums of all ranks' parts are.

    Args:
        parts: The sums.
        mean: (d,) float64, of all rows.
        count: Of all rows, as in `Moments`.
        dropped: How many were left out.
        heaviest: The largest weight on any rank.
        read: Rows that counted, each once.

    Returns:
        Moments, or a sketch where that is what the parts are of.
    """
    counted, left_out, top, once = torch.tensor([count, dropped, heaviest, read], device="cpu")
    if len(parts) == 1:
        return Moments(
            count=counted,
            mean=mean,
            scatter=parts[0],
            dropped=left_out,
            heaviest=heaviest,
            read=once,
        )
    products, squares = parts
    return Sketch(
        count=counted,
        mean=mean,
        products=products,
        squares=squares,
        dropped=left_out,
        signs=Signs.of(products.shape[0], products.shape[1], products.device),
        heaviest=top,
        read=once,
    )
