"""The moments of a stream of rows: gathered batch by batch, merged exactly.

Centred products and the pairwise merge follow Chan, Golub and LeVeque, "Updating formulae and a
pairwise algorithm for computing sample variances" (1979). Sums of squares with a correction at the
end, the textbook form, lose the answer where means are large against the spread.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Self

import torch
from torch import Tensor

from fathom.errors import ShapeError
from fathom.spectral.blocks import blocks_of, check_rows
from fathom.spectral.precision import full_precision
from fathom.spectral.products import Products, centred_rows

# Rows are taken in blocks, which bounds the memory to 64 MiB. On a CPU a block's centred copy stays
# near the cache: 131,072 rows of 64 take 8 ms in blocks, 49 ms in one.
_BLOCK_ROWS = 2**14
_BLOCK_NUMBERS = 2**24

# Squares of float32 numbers outside these bounds may under- or overflow in a float32 product.
_SMALLEST = 1e-12
_LARGEST = 1e14

# So few numbers cost no more in float64: 85 µs a call at 32 × 8, and 94 in float32.
_SMALL = 2**12

# To merge products takes passes over d × d float64 numbers, which calls of few rows share.
_SETTLE_ROWS = 2**12


class Moments:
    """Count, mean and scatter of all rows so far. `update` and `merge` are the only changes.

    Example:
        >>> moments = Moments.zeros(2).update(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        >>> moments.covariance()
        tensor([[1., 0.],
                [0., 0.]], dtype=torch.float64)
    """

    __slots__ = ("_count", "_heaviest", "_mean", "_pending", "_read", "_scatter", "dropped")

    def __init__(
        self,
        count: Tensor,
        mean: Tensor,
        scatter: Tensor,
        dropped: Tensor,
        *,
        heaviest: int = 1,
        read: Tensor | None = None,
    ):
        """Take what is known of some rows; for none at all, `zeros` is shorter.

        Args:
            count: () int64, rows that counted, each as often as its weight.
            mean: (d,) float64, in activation units.
            scatter: (d, d) float64, the sum of outer products about the mean, in squared units,
                each as often.
            dropped: () int64, rows left out because they held a NaN or an infinity.
            heaviest: The largest weight of any row.
            read: () int64, rows that counted, each once; None where all weights are 1.
        """
        self._count = count
        self._mean = mean
        self._scatter = scatter
        self._pending: Products | None = None
        self.dropped = dropped
        self._heaviest = torch.full_like(count, heaviest)
        self._read = count.clone() if read is None else read

    @classmethod
    def zeros(cls, width: int, *, device: torch.device | str = "cpu") -> Self:
        """Return the moments of no rows at all.

        Args:
            width: d, the number of features of a row.
            device: Where to keep them; it must hold float64.

        Returns:
            Moments that take 8·d² bytes, and half as many more while float32 rows come few at a
            time.

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
    def count(self) -> Tensor:
        """() int64, rows that counted, each as often as its weight."""
        self._settle()
        return self._count

    @property
    def read(self) -> Tensor:
        """() int64, rows that counted, each once."""
        self._settle()
        return self._read

    @property
    def heaviest(self) -> int:
        """The largest weight of any row."""
        return int(self._heaviest)

    @property
    def rows(self) -> int:
        """How many rows of the largest weight count for as much as all of them."""
        # Nothing is merged here: who reports may come in the middle of an update.
        pending = self._pending
        count = int(self._count) + (0 if pending is None else pending.rows * pending.weight)
        return -(-count // self.heaviest)

    @property
    def mean(self) -> Tensor:
        """(d,) float64, in activation units."""
        self._settle()
        return self._mean

    @property
    def scatter(self) -> Tensor:
        """(d, d) float64, the sum of outer products about the mean, in squared units.

        Symmetric up to the rounding of a product.
        """
        self._settle()
        return self._scatter

    @property
    def width(self) -> int:
        """d, the number of features of a row."""
        return self._mean.shape[0]

    @torch.no_grad()
    def update(self, rows: Tensor, *, keep: Tensor | None = None, weight: int = 1) -> Self:
        """Add rows, each once; one with a NaN or an infinity is dropped and counted.

        float64 rows are multiplied in float64, as are few, all others in float32 about the mean so
        far, and added up in float64: for float32 rows the covariance is good to about 1e-6, at
        means up to 1,000 times the spread, and the mean to 1e-9 of the spread.

        Args:
            rows: (n, d), or (..., d) with a row at every position; real, of any type and strides,
                and n may be 0. It is only read.
            keep: (n,) or (...) bool, the rows that count; None for all.
            weight: How many rows each of these stands for, itself among them.

        Returns:
            Itself.

        Raises:
            ShapeError: If `rows` is not (n, d) or holds complex numbers, or `keep` is not (n,).
        """
        check_rows(rows, keep, self.width, where="Moments.update")
        keep = None if keep is None else keep.to(self._mean.device)
        block_rows = max(1, _BLOCK_NUMBERS // self.width)
        if _may_branch(rows.device):
            block_rows = min(block_rows, _BLOCK_ROWS)
        with full_precision(self._mean.device.type):
            for block, kept in blocks_of(rows.detach(), keep, block_rows):
                self._add(block, kept, weight)
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
        self._settle()
        device = self._mean.device
        self._scatter += other.scatter.to(device)
        self._join(other.count.to(device), other.mean.to(device))
        self._read += other.read.to(device)
        self.dropped += other.dropped.to(device)
        self._heaviest = self._heaviest.maximum(other._heaviest.to(device))
        return self

    def covariance(self) -> Tensor:
        """Return the covariance, with divisor n.

        Returns:
            (d, d) float64, in squared activation units; zeros where there are no rows.

        References:
            Shenk, Richter and Byttner 2022, "Delve", the covariance of a layer's output.
        """
        # On some processors a product with its own transpose is symmetric up to rounding only.
        both = self.scatter + self.scatter.T
        both /= 2 * self.count.clamp(min=1)
        return both

    def state(self) -> dict[str, Tensor]:
        """Return all there is, for a checkpoint: what goes on from it gives the same to the bit.

        Returns:
            Copies, by name: the arguments of a new one, and what is not merged yet.
        """
        return {name: part.clone() for name, part in self._parts().items()}

    def to(self, device: torch.device | str) -> Self:
        """Return the same, on another device.

        Args:
            device: Where.
        """
        return self.of_state(self._parts(), device=device)

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], *, device: torch.device | str = "cpu") -> Self:
        """Go on from a state.

        Args:
            state: What `state` returned, on any device.
            device: Where to keep the moments.

        Returns:
            Moments with tensors of their own.
        """
        moments = cls.zeros(state["mean"].shape[0], device=device)
        for name, own in (
            ("count", moments._count),
            ("mean", moments._mean),
            ("scatter", moments._scatter),
            ("dropped", moments.dropped),
            ("heaviest", moments._heaviest),
            ("read", moments._read),
        ):
            own.copy_(state[name])
        moments._pending = Products.of_state(state, device)
        return moments

    def _parts(self) -> dict[str, Tensor]:
        parts = {
            "count": self._count,
            "mean": self._mean,
            "scatter": self._scatter,
            "dropped": self.dropped,
            "heaviest": self._heaviest,
            "read": self._read,
        }
        return parts if self._pending is None else parts | self._pending.state()

    def _add(self, block: Tensor, keep: Tensor | None, weight: int) -> None:
        branches = _may_branch(block.device)
        exact = block.dtype == torch.float64 or not block.is_floating_point()
        exact = exact or (branches and max(block.numel(), self.width**2) <= _SMALL)
        block = block.to(self._mean.device, torch.float64 if exact else torch.float32)
        if not branches:
            keep = None if keep is None else keep.reshape(-1)
            self._add_without_branches(block.reshape(-1, self.width), keep, weight)
            return
        if keep is not None:
            block = block[keep]
        rows = block.shape[:-1].numel()
        if rows == 0:
            return
        self._settle_before(rows, block.dtype, weight)
        products = self._pending
        shift = self._near_mean(block) if products is None else products.shift
        centred = centred_rows(block, shift)
        low, high = torch.aminmax(centred)
        size = max(-float(low), float(high))
        if not isfinite(size):
            finite = block.isfinite().all(-1)
            if block.dtype == torch.float64 and finite.all():
                # Finite numbers whose differences are not.
                finite.zero_()
            self.dropped += finite.numel() - finite.sum()
            # In float64, as differences of finite float32 rows may overflow too.
            self._add(block[finite].double(), None, weight)
            return
        if block.dtype == torch.float32 and size > 0 and not _SMALLEST < size < _LARGEST:
            self._add(block.double(), None, weight)
            return
        if products is None:
            before, limit = int(self._count) // weight, max(8 * self.width, _SETTLE_ROWS)
            if before < rows:
                # So few have no mean that these lie near, whose digits would be lost.
                shift = shift + centred.mean(1)
                centred = centred_rows(block, shift)
            products = Products.about(shift, limit=min(limit, 4 * before), weight=weight)
        if weight > self.heaviest:
            self._heaviest.fill_(weight)
        self._pending = products
        products.add(centred)
        if products.rows >= products.limit:
            self._settle()

    def _settle_before(self, rows: int, dtype: torch.dtype, weight: int) -> None:
        """Merge what is pending, if more rows cannot be added to it."""
        pending = self._pending
        if pending is not None and (
            (pending.shift.dtype, pending.weight) != (dtype, weight)
            or pending.rows + rows > 2 * pending.limit
        ):
            self._settle()

    def _settle(self) -> None:
        """Merge what is pending."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.add_scatter_to(self._scatter)
            self._read += pending.rows
            self._join(pending.rows * pending.weight, pending.mean())

    def _near_mean(self, block: Tensor) -> Tensor:
        """Return what to centre about: the mean so far or, at first, a row.

        Of rows that are all the same this is the row itself, and their scatter exactly 0.
        """
        if int(self._count):
            return self._mean.to(block.dtype)
        return block[(0,) * (block.ndim - 1)].nan_to_num(0, 0, 0)

    def _add_without_branches(self, block: Tensor, keep: Tensor | None, weight: int) -> None:
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
        self._scatter.addr_(weighted, weighted, alpha=-weight)
        self._scatter.add_(centred.T @ centred, alpha=weight)
        self._read += count
        self._heaviest = self._heaviest.maximum((count > 0) * weight)
        # Without rows the mean is 0/1, and has no weight.
        self._join(count * weight, shift.double() + missed)

    def _join(self, count: Tensor | int, mean: Tensor) -> None:
        """Take over the mean of rows whose own scatter is added already."""
        apart = mean - self._mean
        if _may_branch(self._mean.device):
            # Plain numbers spare a small tensor for each step of the formula.
            before, added = int(self._count), int(count)
            if added == 0:
                return
            if before:
                self._scatter.addr_(apart, apart, alpha=before * added / (before + added))
            self._mean.add_(apart, alpha=added / (before + added))
        else:
            # Two whole numbers would divide in torch's default type, float32 or less.
            share = count / (self._count + count).clamp(min=1).double()
            between = apart * (self._count * share).sqrt()
            self._scatter.addr_(between, between)
            self._mean += apart * share
        self._count += count


def _may_branch(device: torch.device) -> bool:
    """Tell whether a look at a number is free; on a GPU all work before it must end first."""
    return device.type == "cpu"
