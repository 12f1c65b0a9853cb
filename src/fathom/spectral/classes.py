"""Sums of rows by class: with the moments of the same rows, all that a linear classifier needs."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor

# A centred copy of so many numbers is made at a time: 16 MiB in float32.
_BLOCK_NUMBERS = 2**22


class SampleSums(NamedTuple):
    """The rows of each sample of a call, added up.

    Attributes:
        sums: (m, d) float64, about a centre, in activation units.
        counts: (m,) float64, how many rows each sample has.
    """

    sums: Tensor
    counts: Tensor

    @property
    def usable(self) -> Tensor:
        """(m,) bool: samples that have rows, none of them with a NaN or an infinity."""
        return (self.counts > 0) & self.sums.isfinite().all(1)


def sums_by_sample(
    values: Tensor,
    centre: Tensor,
    *,
    keep: Tensor | None = None,
    owners: Tensor | None = None,
    samples: int | None = None,
) -> SampleSums:
    """Add up the rows of each sample.

    As in `Moments`, what is added is centred first: sums of float32 rows whose mean is 1,000 times
    their spread would be off by a ten-thousandth of it, and these are off by a ten-millionth.

    Args:
        values: (m, ..., d), with samples along the first axis; or (n, d) with `owners`.
        centre: (d,) float64, a point near the rows' mean, on the device where sums are kept.
        keep: (m, ...) bool, or (n,), the rows that count; None for all.
        owners: (n,) int64, the sample of each row, where samples do not lie along an axis.
        samples: m, with `owners`.

    Returns:
        The sums, on the device of the centre.
    """
    home, width = centre.device, values.shape[-1]
    kind = torch.float64 if values.dtype == torch.float64 else torch.float32
    point = centre.to(kind).to(values.device)
    if owners is not None:
        centred = (values.to(kind) - point).to(home).double()
        there = torch.ones(len(centred), dtype=torch.float64, device=home)
        if keep is not None:
            centred = centred.masked_fill(~keep.to(home)[:, None], 0)
            there = keep.to(home).double()
        owners = owners.to(home)
        sums = torch.zeros(samples or 0, width, dtype=torch.float64, device=home)
        counts = torch.zeros(samples or 0, dtype=torch.float64, device=home)
        return SampleSums(sums.index_add_(0, owners, centred), counts.index_add_(0, owners, there))
    each = values.shape[1:-1].numel()
    step = max(1, _BLOCK_NUMBERS // max(1, each * width))
    axes = tuple(range(1, values.ndim - 1))
    parts = []
    for start in range(0, len(values), step):
        block = values[start : start + step].to(kind) - point
        if keep is not None:
            block = block.masked_fill(~keep[start : start + step, ..., None].to(block.device), 0)
        parts.append(block.sum(axes) if axes else block)
    if not parts:
        nothing = torch.zeros(0, width, dtype=torch.float64, device=home)
        return SampleSums(nothing, nothing.sum(1))
    sums = torch.cat(parts).to(home).double()
    if keep is None:
        return SampleSums(sums, torch.full_like(sums[:, 0], each))
    there = keep.flatten(1).sum(1) if axes else keep
    return SampleSums(sums, there.to(home).double())


class ClassSums:
    """How many rows each class has, and their sum about a common centre.

    Attributes:
        centre: (d,) float64, near the mean of the first rows, in activation units.
        counts: (k,) float64, rows of each class, each as often as its weight.
        sums: (k, d) float64, about the centre, each row as often.
    """

    __slots__ = ("centre", "counts", "sums")

    def __init__(self, centre: Tensor, counts: Tensor, sums: Tensor):
        """Take what is known of some rows; for none at all, `about` is shorter.

        Args:
            centre: (d,) float64.
            counts: (k,) float64.
            sums: (k, d) float64.
        """
        self.centre = centre
        self.counts = counts
        self.sums = sums

    @classmethod
    def about(cls, centre: Tensor, classes: int) -> Self:
        """Return the sums of no rows at all.

        Args:
            centre: (d,), a point near the rows to come; it also says where the sums are kept.
            classes: k.

        Returns:
            Sums that take 8·k·d bytes.
        """
        # Tensors born in inference mode could not be updated outside it.
        with torch.inference_mode(False):
            kind, device = torch.float64, centre.device
            own = torch.empty(len(centre), dtype=kind, device=device).copy_(centre)
            counts = torch.zeros(classes, dtype=kind, device=device)
            return cls(own, counts, torch.zeros(classes, len(centre), dtype=kind, device=device))

    @torch.no_grad()
    def add(self, rows: SampleSums, labels: Tensor, *, weight: int = 1) -> Self:
        """Add the rows of samples to those of their classes.

        Args:
            rows: Of m samples, about the centre. One with a NaN or an infinity in a row has none.
            labels: (m,) int64; below 0, or k and more, for no class.
            weight: How many rows each stands for.

        Returns:
            Itself.
        """
        labels = labels.to(self.counts.device)
        told = rows.usable & (labels >= 0) & (labels < len(self.counts))
        # Without a branch, as to look at numbers would hold a GPU up.
        places = labels.where(told, 0)
        self.counts.index_add_(0, places, rows.counts.where(told, 0), alpha=weight)
        self.sums.index_add_(0, places, rows.sums.where(told[:, None], 0), alpha=weight)
        return self

    def state(self) -> dict[str, Tensor]:
        """Return all there is, for a checkpoint: copies, by name."""
        return {name: getattr(self, name).clone() for name in self.__slots__}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], *, device: torch.device | str = "cpu") -> Self:
        """Go on from a state.

        Args:
            state: What `state` returned, on any device.
            device: Where to keep the sums.

        Returns:
            Sums with tensors of their own.
        """
        sums = cls.about(state["centre"].to(device), len(state["counts"]))
        sums.counts.copy_(state["counts"])
        sums.sums.copy_(state["sums"])
        return sums


def near_mean(values: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return a point to centre rows about: their mean up to rounding, or nearly.

    Args:
        values: (..., d).
        keep: (...) bool, the rows that count; None for all.

    Returns:
        (d,) float32 or float64, finite.
    """
    rows = values.to(torch.float64 if values.dtype == torch.float64 else torch.float32)
    axes = tuple(range(rows.ndim - 1))
    if keep is None:
        return rows.mean(axes).nan_to_num(0, 0, 0)
    keep = keep.to(rows.device)
    total = rows.masked_fill(~keep[..., None], 0).sum(axes)
    return (total / keep.sum().clamp(min=1)).nan_to_num(0, 0, 0)
