"""The moments of a stream of rows: gathered batch by batch, merged exactly.

Centred products and the pairwise merge follow Chan, Golub and LeVeque, "Updating formulae and a
pairwise algorithm for computing sample variances" (1979). Sums of squares with a correction at the
end, the textbook form, lose the answer where means are large against the spread.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Self

import torch
from torch import Tensor

from fathom.errors import ShapeError
from fathom.spectral.precision import full_precision

# Rows are taken in blocks, which bounds the memory to 64 MiB. On a CPU a block's centred copy stays
# near the cache: 131,072 rows of 64 take 8 ms in blocks, 49 ms in one.
_BLOCK_ROWS = 2**14
_BLOCK_NUMBERS = 2**24

# Squares of float32 numbers outside these bounds under- or overflow in a float32 product.
_SMALLEST_TRACE = 1e-24
_LARGEST_TRACE = 1e36

# So few numbers cost no more in float64: 85 µs a call at 32 × 8, and 94 in float32.
_SMALL_BLOCK = 2**12


@dataclass(eq=False, slots=True)
class Moments:
    """Count, mean and scatter of all rows so far. `update` and `merge` are the only changes.

    Attributes:
        count: () int64, rows that counted.
        mean: (d,) float64, in activation units.
        scatter: (d, d) float64, the sum of outer products about the mean, in squared units;
            symmetric up to the rounding of a product.
        dropped: () int64, rows left out because they held a NaN or an infinity.

    Example:
        >>> moments = Moments.zeros(2).update(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        >>> moments.covariance()
        tensor([[1., 0.],
                [0., 0.]], dtype=torch.float64)
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor
    dropped: Tensor

    @classmethod
    def zeros(cls, width: int, *, device: torch.device | str = "cpu") -> Self:
        """Return the moments of no rows at all.

        Args:
            width: d, the number of features of a row.
            device: Where to keep them; it must hold float64.

        Returns:
            Moments that take 8·d² bytes.

        Raises:
            ShapeError: If `width` is not positive.
        """
        if width < 1:
            raise ShapeError(
                f"Moments.zeros: width must be at least 1, got {width}. Pass rows.shape[1]."
            )
        # Tensors born in inference mode could not be updated outside it.
        with torch.inference_mode(False):
            return cls(
                count=torch.zeros((), dtype=torch.int64, device=device),
                mean=torch.zeros(width, dtype=torch.float64, device=device),
                scatter=torch.zeros(width, width, dtype=torch.float64, device=device),
                dropped=torch.zeros((), dtype=torch.int64, device=device),
            )

    @property
    def width(self) -> int:
        """d, the number of features of a row."""
        return self.mean.shape[0]

    @torch.no_grad()
    def update(self, rows: Tensor, *, keep: Tensor | None = None) -> Self:
        """Add rows, each once; one with a NaN or an infinity is dropped and counted.

        float64 rows are multiplied in float64, as are few, all others in float32 about the mean so
        far, and added up in float64: for float32 rows the covariance is good to about 1e-6, at
        means up to 1,000 times the spread, and the mean to 1e-9 of the spread.

        Args:
            rows: (n, d), or (..., d) with a row at every position; real, of any type and strides,
                and n may be 0. It is only read.
            keep: (n,) or (...) bool, the rows that count; None for all.

        Returns:
            Itself.

        Raises:
            ShapeError: If `rows` is not (n, d) or holds complex numbers, or `keep` is not (n,).
        """
        if rows.ndim < 2 or rows.shape[-1] != self.width or rows.is_complex():
            raise ShapeError(
                f"Moments.update: rows must be real of shape (n, {self.width}), got "
                f"{rows.dtype} of shape {tuple(rows.shape)}. Put the features last: "
                f"rows.reshape(-1, {self.width})."
            )
        if keep is not None and (keep.shape != rows.shape[:-1] or keep.dtype != torch.bool):
            raise ShapeError(
                f"Moments.update: keep must be bool of shape {tuple(rows.shape[:-1])}, got "
                f"{keep.dtype} of shape {tuple(keep.shape)}. Pass one truth value a row."
            )
        keep = None if keep is None else keep.to(self.mean.device)
        block_rows = max(1, _BLOCK_NUMBERS // self.width)
        if _may_branch(rows.device):
            block_rows = min(block_rows, _BLOCK_ROWS)
        rows, each = rows.detach(), rows.shape[1:-1].numel()
        if each > block_rows:
            rows, each = rows.reshape(-1, self.width), 1
            keep = None if keep is None else keep.reshape(-1)
        step = block_rows // max(each, 1)
        with full_precision(self.mean.device.type):
            for start in range(0, rows.shape[0], step):
                part = slice(start, start + step)
                self._add(rows[part], None if keep is None else keep[part])
        return self

    def merge(self, other: "Moments") -> Self:
        """Add the rows behind `other`, exactly as if they had come here.

        Args:
            other: Moments of the same width, on any device; not changed.

        Returns:
            Itself.

        Raises:
            ShapeError: If the widths differ.
        """
        if other.width != self.width:
            raise ShapeError(
                f"Moments.merge: other must have width {self.width}, got {other.width}. "
                "Merge moments of the same layer."
            )
        device = self.mean.device
        self._merge(other.count.to(device), other.mean.to(device), other.scatter.to(device))
        self.dropped += other.dropped.to(device)
        return self

    def covariance(self) -> Tensor:
        """Return the covariance, with divisor n.

        Returns:
            (d, d) float64, in squared activation units; zeros where there are no rows.

        References:
            Shenk, Richter and Byttner 2022, "Delve", the covariance of a layer's output.
        """
        # On some processors a product with its own transpose is symmetric up to rounding only.
        return (self.scatter + self.scatter.T) / (2 * self.count.clamp(min=1))

    def _add(self, block: Tensor, keep: Tensor | None) -> None:
        exact = block.dtype == torch.float64 or not block.is_floating_point()
        exact = exact or (_may_branch(block.device) and block.numel() <= _SMALL_BLOCK)
        block = block.to(self.mean.device, torch.float64 if exact else torch.float32)
        if not _may_branch(block.device):
            keep = None if keep is None else keep.reshape(-1)
            self._add_without_branches(block.reshape(-1, self.width), keep)
            return
        if keep is not None:
            block = block[keep]
        if block.numel() == 0:
            return
        shift = self._near_mean(block)
        centred = _centred(block, shift)
        offset = centred.sum(1).double() / centred.shape[1]
        if not isfinite(offset.sum()):
            finite = block.isfinite().all(-1)
            self.dropped += finite.numel() - finite.sum()
            # In float64, as the sums of finite float32 rows may overflow too.
            block = block[finite].double()
            if block.shape[0] == 0:
                return
            shift = block.mean(0)
            centred = _centred(block, shift)
            offset = centred.mean(1)
        if not int(self.count):
            # The first rows have no mean so far to lie near.
            shift, centred, offset = _recentred(block, shift, offset)
        product = gram(centred)
        if self._is_off_centre(product, shift, offset, centred.shape[1]):
            shift, centred, offset = _recentred(block, shift, offset)
            product = gram(centred)
        trace = float(product.trace())
        underflow = trace <= _SMALLEST_TRACE and bool(centred.any())
        if block.dtype == torch.float32 and (underflow or not trace < _LARGEST_TRACE):
            centred = _centred(block.double(), shift.double())
            product = gram(centred)
        self.scatter.addr_(offset, offset, alpha=-centred.shape[1])
        self._merge(centred.shape[1], shift.double() + offset, product)

    def _near_mean(self, block: Tensor) -> Tensor:
        """Return what to centre about: the mean so far or, at first, a row.

        Of rows that are all the same this is the row itself, and their scatter exactly 0.
        """
        if int(self.count):
            return self.mean.to(block.dtype)
        return block[(0,) * (block.ndim - 1)].nan_to_num(0, 0, 0)

    def _is_off_centre(self, product: Tensor, shift: Tensor, offset: Tensor, rows: int) -> bool:
        """Tell whether a feature's mean lies further from its shift than the feature spreads.

        Its products are then more of the distance than of the spread, and lose digits.

        Returns:
            True where they should be taken about a nearer point.
        """
        squares = offset.square()
        spread = product.diagonal().double() / rows - squares
        # What the shift itself is rounded by does not count.
        rounding = torch.finfo(shift.dtype).eps * shift.double()
        return bool((squares > spread + 4 * rounding.square()).any())

    def _add_without_branches(self, block: Tensor, keep: Tensor | None) -> None:
        finite = block.isfinite().all(1)
        counted = finite if keep is None else finite & keep
        count = counted.sum()
        self.dropped += (counted.numel() if keep is None else keep.sum()) - count
        some = count.clamp(min=1)
        block = block.where(counted[:, None], 0)
        shift = (block.sum(0, dtype=torch.float64) / some).to(block.dtype)
        centred = (block - shift).where(counted[:, None], 0)
        missed = centred.sum(0, dtype=torch.float64) / some
        weighted = missed * count.double().sqrt()
        self.scatter.addr_(weighted, weighted, alpha=-1)
        # Without rows the mean is 0/1, and has no weight.
        self._merge(count, shift.double() + missed, centred.T @ centred)

    def _merge(self, count: Tensor | int, mean: Tensor, scatter: Tensor) -> None:
        apart = mean - self.mean
        if _may_branch(self.mean.device):
            # Plain numbers spare a small tensor for each step of the formula.
            before, added = int(self.count), int(count)
            if added == 0:
                return
            self.scatter += scatter
            if before:
                self.scatter.addr_(apart, apart, alpha=before * added / (before + added))
            self.mean.add_(apart, alpha=added / (before + added))
        else:
            # Two whole numbers would divide in torch's default type, float32 or less.
            share = count / (self.count + count).clamp(min=1).double()
            between = apart * (self.count * share).sqrt()
            self.scatter += scatter
            self.scatter.addr_(between, between)
            self.mean += apart * share
        self.count += count


def gram(centred: Tensor) -> Tensor:
    """Return the products of all features with all, of which about half are computed.

    Args:
        centred: (d, n), of any strides.

    Returns:
        (d, d), symmetric up to rounding.
    """
    width, rows = centred.shape
    # Smaller blocks multiply slower than what they spare: on a CPU 4 take 0.7 of the time of one
    # at 256 × 4,096 and at 1,024 × 2,048; 2 take 0.9 at 128, and where rows are few.
    parts = 1 if width < 128 else 2 if width < 256 or rows < width else 4
    if parts == 1:
        return centred @ centred.T
    product = centred.new_empty(width, width)
    step = -(-width // parts)
    for start in range(0, width, step):
        stop = start + step
        torch.mm(centred[start:stop], centred[start:].T, out=product[start:stop, start:])
        if stop < width:
            product[stop:, start:stop] = product[start:stop, stop:].T
    return product


def _centred(block: Tensor, shift: Tensor) -> Tensor:
    """Return (d, n) rows about a point, in one pass, in the order that they have in memory."""
    if block.stride(-1) == 1 or block.ndim == 2:
        return (block - shift).reshape(-1, block.shape[-1]).T
    # Feature maps: channels stay in front, and are brought together from all images.
    first = block.movedim(-1, 0)
    centred = torch.empty(first.shape, dtype=block.dtype, device=block.device)
    torch.sub(first, shift.reshape(-1, *[1] * (block.ndim - 1)), out=centred)
    return centred.reshape(block.shape[-1], -1)


def _recentred(block: Tensor, shift: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows about their own mean: the mean, the rows, and what its rounding has missed."""
    shift = (shift + offset).to(shift.dtype)
    centred = _centred(block, shift)
    return shift, centred, centred.mean(1, dtype=torch.float64)


def _may_branch(device: torch.device) -> bool:
    """Tell whether a look at a number is free; on a GPU all work before it must end first."""
    return device.type == "cpu"
