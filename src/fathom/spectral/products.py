"""Products of rows about one point: as fast as the processor multiplies, before they are merged."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Numbers that are brought from float32 to float64 at a time: 512 KiB, which stays in the cache.
# torch would make a second matrix of the whole.
_CAST_NUMBERS = 2**16

# Blocks begin at multiples of it, so that the same strips lie above the diagonal in all of them.
_STRIP = 64


@dataclass(eq=False, slots=True)
class Products:
    """Sums of rows and of their products about a point that lies near their mean.

    Attributes:
        shift: (d,), the point.
        product: (d, d) of the same type; above the diagonal's blocks only, until `completed`.
        total: (d,) float64, the sum of the rows about the point.
        rows: How many there are.
        limit: After so many they are to be merged.
        weight: How many rows each of them counts for.
    """

    shift: Tensor
    product: Tensor
    total: Tensor
    rows: int
    limit: int
    weight: int

    @classmethod
    def about(cls, shift: Tensor, *, limit: int, weight: int = 1) -> "Products":
        """Begin without rows.

        Args:
            shift: (d,), the point.
            limit: After so many rows the products are to be merged.
            weight: How many rows each of them counts for.

        Returns:
            Products that take 4·d² bytes for float32 rows.
        """
        width = shift.shape[0]
        # Tensors born in inference mode could not be updated outside it.
        with torch.inference_mode(False):
            return cls(
                shift=shift,
                product=torch.empty(width, width, dtype=shift.dtype, device=shift.device),
                total=torch.zeros(width, dtype=torch.float64, device=shift.device),
                rows=0,
                limit=limit,
                weight=weight,
            )

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], device: torch.device | str) -> "Products | None":
        """Go on from a state.

        Args:
            state: What `state` returned, among other parts.
            device: Where to keep the products.

        Returns:
            The same, with tensors of its own; None if there were none.
        """
        if "pending_shift" not in state:
            return None
        products = cls.about(
            state["pending_shift"].clone().to(device),
            limit=int(state["pending_limit"]),
            weight=int(state["pending_weight"]),
        )
        products.product.copy_(state["pending_product"])
        products.total.copy_(state["pending_total"])
        products.rows = int(state["pending_rows"])
        return products

    def state(self) -> dict[str, Tensor]:
        """Return all there is, as tensors by name."""
        # What lies below the diagonal was never written.
        _mirror(self.product)
        return {
            "pending_shift": self.shift,
            "pending_product": self.product,
            "pending_total": self.total,
            "pending_rows": torch.tensor(self.rows, device="cpu"),
            "pending_limit": torch.tensor(self.limit, device="cpu"),
            "pending_weight": torch.tensor(self.weight, device="cpu"),
        }

    def add(self, centred: Tensor) -> None:
        """Add rows.

        Args:
            centred: (d, n), n rows about the point, of any strides.
        """
        add_products(self.product, centred, fresh=self.rows == 0)
        self.total += centred.sum(1)
        self.rows += centred.shape[1]

    def mean(self) -> Tensor:
        """Return (d,) float64, the mean of the rows, not about the point."""
        return self.shift.double() + self.total / self.rows

    def add_scatter_to(self, scatter: Tensor) -> None:
        """Add the scatter of the rows about their own mean, as often as they count.

        Args:
            scatter: (d, d) float64, which changes.
        """
        width = len(self.shift)
        _mirror(self.product)
        step = max(1, _CAST_NUMBERS // width)
        for start in range(0, width, step):
            part = slice(start, start + step)
            scatter[part].add_(self.product[part], alpha=self.weight)
        scatter.addr_(self.total, self.total, alpha=-self.weight / self.rows)


def centred_rows(block: Tensor, shift: Tensor) -> Tensor:
    """Bring rows about a point, in one pass, in the order that they have in memory.

    Args:
        block: (n, d), or (..., d) with a row at every position.
        shift: (d,), of the same type.

    Returns:
        (d, n), a copy.
    """
    if block.stride(-1) == 1 or block.ndim == 2:
        return (block - shift).reshape(-1, block.shape[-1]).T
    # Feature maps: channels stay in front, and are brought together from all images.
    first = block.movedim(-1, 0)
    centred = torch.empty(first.shape, dtype=block.dtype, device=block.device)
    torch.sub(first, shift.reshape(-1, *[1] * (block.ndim - 1)), out=centred)
    return centred.reshape(block.shape[-1], -1)


def add_products(product: Tensor, centred: Tensor, *, fresh: bool) -> None:
    """Add the products of all features with all, on the blocks of the diagonal and above.

    Args:
        product: (d, d), which changes.
        centred: (d, n), of any strides.
        fresh: Whether nothing is in `product` yet.
    """
    width = len(centred)
    step = _STRIP * -(-width // (_STRIP * _parts(*centred.shape)))
    for start in range(0, width, step):
        stop = start + step
        target, left, right = product[start:stop, start:], centred[start:stop], centred[start:].T
        if fresh:
            torch.mm(left, right, out=target)
        else:
            target.addmm_(left, right)


def _parts(width: int, rows: int) -> int:
    """Return into how many blocks a product is cut, of which about half are then computed.

    Smaller blocks multiply slower than what they spare: on a CPU 4 take 0.7 of the time of one at
    256 × 4,096 and at 1,024 × 2,048; 2 take 0.9 at 128 × 512, and where rows are few.
    """
    if width < 128 or rows < 128:
        return 1
    return 2 if width < 256 or rows < width else 4


def _mirror(product: Tensor) -> None:
    """Fill what lies below the diagonal, whatever blocks were computed."""
    for start in range(0, len(product), _STRIP):
        stop = start + _STRIP
        product[stop:, start:stop] = product[start:stop, stop:].T
