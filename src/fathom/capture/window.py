"""What one layer has shown in one phase since the last snapshot."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from fathom.capture.arithmetic import training_arithmetic
from fathom.capture.layers import Layer, home_of
from fathom.capture.rows import first_samples
from fathom.capture.sampling import Sampler
from fathom.errors import ShapeError
from fathom.reading import Phase
from fathom.settings import Settings
from fathom.spectral.classes import ClassSums
from fathom.spectral.gathered import Gathered, is_sketched
from fathom.spectral.moments import Moments
from fathom.spectral.sketch import WIDEST, Sketch

if TYPE_CHECKING:
    from fathom.capture.probing import Probing


@dataclass(eq=False, slots=True)
class Window(Gathered):
    """What was gathered of one layer in one phase since the last snapshot.

    Attributes:
        layer: The layer.
        phase: The phase.
        skipped: Calls that were not read, by `every` or by `sampler`.
        sampler: What is read within a budget; None for every row.
        classes: Of the rows in train that came with labels; None where none did.
    """

    layer: Layer
    phase: Phase
    skipped: int = 0
    sampler: Sampler | None = None
    classes: ClassSums | None = None

    def add(
        self,
        output: Tensor | PackedSequence,
        mask: Tensor | None,
        settings: Settings,
        probing: "Probing | None" = None,
    ) -> None:
        """Add what one call of the layer returned, up to the samples that may still count.

        Args:
            output: The part of it that is read. Nothing of it is kept.
            mask: (b, t) bool, the real positions; None where all are.
            settings: Says how many samples may count, and what is wide.
            probing: Knows the labels of the call, and what becomes of them.

        Raises:
            ShapeError: If the output cannot be read, or its width is not that of earlier calls, or
                is too large even for a sketch.
        """
        limit = None
        if settings.max_samples is not None:
            limit = settings.max_samples - self.samples
            if limit <= 0:
                return
        # Of what is sampled the first samples count, not a sample of the first.
        rows = self.layer.read(output, limit if self.sampler is None else None, mask)
        if rows.values.is_meta:
            return
        wide = is_sketched(rows.values.shape[-1], max_width=settings.max_width)
        if probing is not None:
            total = rows.samples
            if total == limit:
                total = self.layer.read(output, None, mask).samples
            rows = probing.labelled(self, rows, total, getattr(output, "sorted_indices", None))
        weight = 1
        if self.sampler is not None and rows.values.numel():
            numbers, width = output.data.numel(), rows.values.shape[-1]
            arithmetic = training_arithmetic(self.layer.module, numbers, width=width)
            rows = first_samples(self.sampler.sample(rows, arithmetic, sketched=wide), limit)
            weight = self.sampler.weight
        values, keep = rows.values, rows.keep
        if self.moments is None:
            width, device = values.shape[-1], home_of(values.device)
            if width > WIDEST:
                raise ShapeError(
                    f"rows must be at most {WIDEST:,} wide, where a sketch takes 2 GiB of memory, "
                    f'got {width:,}. Reduce them with downsample= or conv="mean".'
                )
            self.moments = (Sketch if wide else Moments).zeros(width, device=device)
        self.moments.update(values, keep=keep, weight=weight)
        if probing is not None:
            probing.add(self, rows, weight)
        if keep is not None:
            self.padded = self.padded + (~keep).sum()
        if values.is_floating_point():
            self.resolution = max(self.resolution, torch.finfo(values.dtype).eps)
        self.samples += rows.samples
        self.calls += 1
