"""The eigendirections of a layer's covariance, and rows projected onto the leading ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.spectral.moments import Moments
from fathom.spectral.spectrum import cleaned, rounded
from fathom.spectral.statistics import intrinsic_dimension


@dataclass(frozen=True, eq=False, slots=True)
class Directions:
    """Orthonormal directions of a layer about its mean, in the order in which they are kept.

    Attributes:
        mean: (d,) float64, in activation units.
        vectors: (d, d) float64, a direction a column: eigenvectors of falling eigenvalue, or of a
            control any others.
        eigenvalues: (d,) float64, descending, in squared units; of the covariance.
    """

    mean: Tensor
    vectors: Tensor
    eigenvalues: Tensor

    @classmethod
    def of(cls, moments: Moments) -> "Directions":
        """Decompose the covariance of some moments.

        Args:
            moments: Of at least one row.

        Returns:
            Directions on the CPU, each with its largest component above 0.
        """
        return cls.of_covariance(moments.covariance(), moments.mean, rank=int(moments.read) - 1)

    @classmethod
    def of_covariance(
        cls,
        covariance: Tensor,
        mean: Tensor,
        *,
        rank: int | None = None,
        eigenvalues: Tensor | None = None,
    ) -> "Directions":
        """Decompose a covariance.

        Args:
            covariance: (d, d), in squared activation units.
            mean: (d,), in activation units.
            rank: The most that the covariance can have; None for d.
            eigenvalues: (d,) float64, descending, where they are known already.

        Returns:
            Directions on the CPU, each with its largest component above 0.
        """
        with torch.inference_mode(False), torch.no_grad():
            values, vectors = torch.linalg.eigh(covariance.detach().double().cpu())
            vectors = vectors.flip(1)
            if eigenvalues is None:
                rank = len(values) if rank is None else rank
                eigenvalues = rounded(cleaned(values.flip(0), rank=rank))
            # Either sign is an eigenvector, and which of them comes differs between processors.
            largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
            return cls(mean.detach().double().cpu(), vectors * largest.sign(), eigenvalues)

    @property
    def width(self) -> int:
        """d, the number of features."""
        return len(self.mean)

    def randomised(self, seed: int) -> "Directions":
        """Return random orthonormal directions about the same mean, as a control.

        Args:
            seed: Of a generator of their own.

        Returns:
            The first k span every subspace of that dimension alike (Haar), for each k; the global
            random state is as before.
        """
        generator = torch.Generator(device="cpu").manual_seed(seed)
        with torch.inference_mode(False), torch.no_grad():
            numbers = torch.randn(
                self.width, self.width, dtype=torch.float64, device="cpu", generator=generator
            )
            return Directions(self.mean, torch.linalg.qr(numbers)[0], self.eigenvalues)

    def dimension(self, threshold: float) -> int:
        """Return the fewest leading eigenvalues that reach a share of the variance.

        Args:
            threshold: Fraction of the total variance, in (0, 1].

        Returns:
            k, in 0..d; 0 where there is no variance.
        """
        return intrinsic_dimension(self.eigenvalues, threshold=threshold)

    def share(self, dimension: int) -> float:
        """Return the share of the variance that the leading eigenvalues carry.

        Args:
            dimension: k, how many.

        Returns:
            In [0, 1]; nan where there is no variance.
        """
        return float(self.eigenvalues[:dimension].sum() / self.eigenvalues.sum())


@dataclass(frozen=True, eq=False, slots=True)
class Basis:
    """The directions that a projection keeps, or those that it takes away, where these are fewer.

    Attributes:
        mean: (d,), in activation units.
        vectors: (d, r), orthonormal, r at most half of d.
        keeps: Whether these directions are what is left; else they are what goes.
    """

    mean: Tensor
    vectors: Tensor
    keeps: bool

    @classmethod
    def of(cls, directions: Directions, dimension: int) -> "Basis":
        """Choose the leading directions.

        Args:
            directions: All d of them.
            dimension: k, how many are kept.

        Returns:
            Views of them.
        """
        keeps = 2 * dimension <= directions.width
        part = slice(dimension) if keeps else slice(dimension, None)
        return cls(directions.mean, directions.vectors[:, part], keeps)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Basis":
        """Return the same on another device, in another type.

        Args:
            device: Where.
            dtype: float32 or float64.
        """
        with torch.inference_mode(False), torch.no_grad():
            vectors = self.vectors.to(device, dtype).contiguous()
            return Basis(self.mean.to(device, dtype), vectors, self.keeps)

    def project(self, rows: Tensor) -> Tensor:
        """Project rows: V Vᵀ(x - mean) + mean, of which V Vᵀ itself is never made.

        Args:
            rows: (n, d), of the basis's device and type.

        Returns:
            (n, d), a new tensor.
        """
        inside = (rows - self.mean) @ self.vectors
        base, sign = (self.mean, 1) if self.keeps else (rows, -1)
        return torch.addmm(base, inside, self.vectors.T, alpha=sign)

    def project_maps(self, maps: Tensor) -> Tensor:
        """Project every position of feature maps, whose channels stay in front.

        Args:
            maps: (b, d, positions), of the basis's device and type.

        Returns:
            (b, d, positions), a new tensor.
        """
        each = self.vectors.expand(len(maps), *self.vectors.shape)
        inside = torch.bmm(each.mT, maps - self.mean[:, None])
        base, sign = (self.mean[:, None], 1) if self.keeps else (maps, -1)
        return torch.baddbmm(base, each, inside, alpha=sign)
