"""A sketch of the scatter of a stream of rows, where the layer is too wide for the matrix itself.

Of the scatter S only Y = SΩ is kept, with Ω a fixed matrix of few columns: what the single-pass
Nyström approximation needs, as in Tropp, Yurtsever, Udell and Cevher, "Fixed-rank approximation of
a positive-semidefinite matrix from streaming data" (2017). Y is linear in S, so that it is gathered
and merged as S itself is: centred, and by the formula of Chan, Golub and LeVeque (1979).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fathom.errors import ArgumentError, ShapeError
from fathom.spectral.blocks import blocks_of, check_rows
from fathom.spectral.precision import full_precision
from fathom.spectral.signs import Signs

# On spectra of powers, exponentials and steps, d = 2,048 and 4,096, 512 columns settle intrinsic
# dimensions up to 300 or so where variance falls off fast (338 for 316), 256 up to 140 (140 for
# 137); where it falls as i^-2 they say 60 for 58, and nothing. At d = 50,257 on 2 cores a row takes
# 1.6 ms and 1.2, a snapshot 0.7 s and 0.2, and a phase 196 MiB and 98.
COLUMNS = 512
"""How many columns a sketch has; a layer no wider is better off with its matrix."""

WIDEST = 2**19
"""The widest layer that is sketched: 2 GiB, as the widest matrix takes."""

# As in `Moments`: it bounds the centred copy of rows to 64 MiB.
_BLOCK_NUMBERS = 2**24


@dataclass(eq=False, slots=True)
class Sketch:
    """Count, mean and sketched scatter of all rows so far.

    It takes 8·d·l bytes, and all of one width share d·l more.

    Attributes:
        count: () int64, rows that counted, each as often as its weight.
        mean: (d,) float64, in activation units.
        products: (d, l) float64, Y = SΩ, the scatter times random signs, in squared units.
        squares: (d,) float64, the diagonal of S: sums of squares about the mean.
        dropped: () int64, rows left out because they held a NaN or an infinity.
        signs: Ω.
        heaviest: () int64, the largest weight of any row.
        read: () int64, rows that counted, each once.

    Example:
        >>> sketch = Sketch.zeros(3, columns=2).update(torch.tensor([[1.0, 0, 0], [3.0, 0, 4.0]]))
        >>> sketch.squares.round(decimals=9)
        tensor([2., 0., 8.], dtype=torch.float64)
    """

    count: Tensor
    mean: Tensor
    products: Tensor
    squares: Tensor
    dropped: Tensor
    signs: Signs
    heaviest: Tensor
    read: Tensor

    @classmethod
    def zeros(
        cls, width: int, *, columns: int = COLUMNS, device: torch.device | str = "cpu"
    ) -> Self:
        """Return the sketch of no rows at all.

        Args:
            width: d, the number of features of a row.
            columns: l, how many products to keep of each feature.
            device: Where to keep them; it must hold float64.

        Returns:
            A sketch that takes 8·d·l bytes.

        Raises:
            ShapeError: If `columns` is not in 1..`width`.
        """
        if not 1 <= columns <= width:
            raise ShapeError(
                f"Sketch.zeros: columns must be from 1 to width, got {columns} of width {width}. "
                "Pass rows.shape[1] as width; a narrow layer is better off with its Moments."
            )
        # Tensors born in inference mode could not be updated outside it.
        with torch.inference_mode(False):
            mean = torch.zeros(width, dtype=torch.float64, device=device)
            return cls(
                count=torch.zeros((), dtype=torch.int64, device=device),
                mean=mean,
                products=torch.zeros(width, columns, dtype=torch.float64, device=device),
                squares=torch.zeros_like(mean),
                dropped=torch.zeros((), dtype=torch.int64, device=device),
                signs=Signs.of(width, columns, mean.device),
                heaviest=torch.ones((), dtype=torch.int64, device=device),
                read=torch.zeros((), dtype=torch.int64, device=device),
            )

    @property
    def width(self) -> int:
        """d, the number of features of a row."""
        return self.products.shape[0]

    @property
    def columns(self) -> int:
        """l, how many products are kept of each feature."""
        return self.products.shape[1]

    @property
    def rows(self) -> int:
        """How many rows of the largest weight count for as much as all of them."""
        return -(-int(self.count) // int(self.heaviest))

    @torch.no_grad()
    def update(self, rows: Tensor, *, keep: Tensor | None = None, weight: int = 1) -> Self:
        """Add rows, each once; one with a NaN or an infinity is dropped and counted.

        float64 rows are multiplied in float64, all others in float32 about their own mean, and
        added up in float64. A row takes 4·d·l operations.

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
        check_rows(rows, keep, self.width, where="Sketch.update")
        rows = rows.detach()
        if keep is None:
            keep = torch.ones((), dtype=torch.bool, device=self.mean.device)
        keep = keep.to(self.mean.device).expand(rows.shape[:-1])
        with full_precision(self.mean.device.type):
            for block, kept in blocks_of(rows, keep, max(1, _BLOCK_NUMBERS // self.width)):
                assert kept is not None
                self._add(block.reshape(-1, self.width), kept.reshape(-1), weight)
        return self

    @torch.no_grad()
    def merge(self, other: "Sketch") -> Self:
        """Add the rows behind `other`, exactly as if they had come here.

        Args:
            other: A sketch of the same width and columns, on any device; not changed.

        Returns:
            Itself.

        Raises:
            ShapeError: If the widths or the columns differ.
        """
        if other.products.shape != self.products.shape:
            raise ShapeError(
                f"Sketch.merge: other must be of shape {tuple(self.products.shape)}, got "
                f"{tuple(other.products.shape)}. Merge sketches of the same layer."
            )
        device = self.mean.device
        between = self._move_mean(other.count.to(device), other.mean.to(device))
        self.products += other.products.to(device)
        self.squares += other.squares.to(device)
        self._add_outer(between)
        self.dropped += other.dropped.to(device)
        self.read += other.read.to(device)
        self.heaviest = self.heaviest.maximum(other.heaviest.to(device))
        return self

    def state(self) -> dict[str, Tensor]:
        """Return all there is, for a checkpoint: what goes on from it gives the same to the bit.

        Returns:
            Copies, by name, with the first row of the signs to tell others by.
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
            device: Where to keep the sketch.

        Returns:
            A sketch with tensors of its own.

        Raises:
            ArgumentError: If its signs are others, as another version of torch may draw.
        """
        width, columns = state["products"].shape
        sketch = cls.zeros(width, columns=columns, device=device)
        if not torch.equal(sketch.signs.values[0].cpu(), state["signs"].cpu()):
            raise ArgumentError(
                "load_state_dict: signs must be those that this version of torch draws, got "
                "others. Save right after a snapshot, when there are no rows."
            )
        for name in ("count", "mean", "products", "squares", "dropped", "heaviest", "read"):
            getattr(sketch, name).copy_(state[name])
        return sketch

    @torch.no_grad()
    def centre(self, mean: Tensor) -> Self:
        """Take the products about another point than the mean, as sums of many sketches are.

        Args:
            mean: (d,) float64, the point, which is the mean from now on.

        Returns:
            Itself.
        """
        apart = (self.mean - mean) * self.count.double().sqrt()
        self._add_outer(apart)
        self.mean = mean
        return self

    def _parts(self) -> dict[str, Tensor]:
        return {
            "count": self.count,
            "mean": self.mean,
            "products": self.products,
            "squares": self.squares,
            "dropped": self.dropped,
            "heaviest": self.heaviest,
            "read": self.read,
            "signs": self.signs.values[0],
        }

    def _add(self, block: Tensor, keep: Tensor, weight: int) -> None:
        exact = block.dtype == torch.float64 or not block.is_floating_point()
        block = block.to(self.mean.device, torch.float64 if exact else torch.float32)
        counted = block.isfinite().all(1) & keep
        count = counted.sum()
        self.dropped += keep.sum() - count
        self.read += count
        self.heaviest = self.heaviest.maximum((count > 0) * weight)
        if _may_branch(block.device):
            # Rows that do not count cost as much as others.
            if int(count) < len(counted):
                block = block[counted]
            if not len(block):
                return
            products = self._centred(block, count, None, weight)
        else:
            block = block.where(counted[:, None], 0)
            products = self._centred(block, count, counted[:, None], weight)
        # Products of numbers near 1 neither under- nor overflow; powers of two divide exactly.
        _, exponent = torch.frexp(torch.linalg.vector_norm(products, torch.inf))
        scale = (exponent.double() - 1).exp2()
        products /= scale.to(products.dtype)
        lengths = torch.linalg.vector_norm(products[:-1], dim=0, dtype=torch.float64)
        self.squares += weight * (lengths * scale).square()
        self.squares += (products[-1].double() * scale).square()
        projected = self.signs.project(products)
        projected[:-1] *= weight
        for part in self.signs.parts():
            added = (products[:, part].T @ projected).double()
            self.products[part] += added.mul_(scale.square())

    def _centred(self, block: Tensor, count: Tensor, counted: Tensor | None, weight: int) -> Tensor:
        """Take rows about their own mean, with one more for how far it is from the mean so far.

        Returns:
            (n + 1, d), whose products are those to add.
        """
        some = count.clamp(min=1)
        shift = (block.sum(0, dtype=torch.float64) / some).to(block.dtype)
        found = block.new_empty(len(block) + 1, self.width)
        centred = torch.sub(block, shift, out=found[:-1])
        if counted is not None:
            centred *= counted
        missed = centred.sum(0, dtype=torch.float64) / some
        centred -= missed.to(block.dtype)
        if counted is not None:
            centred *= counted
        found[-1] = self._move_mean(count * weight, shift.double() + missed)
        return found

    def _move_mean(self, count: Tensor, mean: Tensor) -> Tensor:
        """Count rows and move the mean; return the vector whose products the scatter gains."""
        apart = mean - self.mean
        # Two whole numbers would divide in torch's default type, float32 or less.
        share = count / (self.count + count).clamp(min=1).double()
        between = apart * (self.count * share).sqrt()
        self.mean = self.mean + apart * share
        self.count += count
        return between

    def _add_outer(self, vector: Tensor) -> None:
        projected = self.signs.project(vector[None])[0]
        self.products.addr_(vector, projected)
        self.squares += vector.square()


def _may_branch(device: torch.device) -> bool:
    """Tell whether a look at a number is free; on a GPU all work before it must end first."""
    return device.type == "cpu"
