"""Scikit-learn's handwritten digits at the size of CIFAR-10's pictures."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from fathom.experiments.data.dataset import Dataset, Images
from fathom.experiments.data.subset import held_out
from fathom.extras import require

_SIZE = 32
_HELD_OUT = 360


@cache
def _pictures() -> tuple[Tensor, Tensor]:
    bunch = require("sklearn.datasets", extra="experiments").load_digits()
    grey = torch.from_numpy(bunch.images)[:, None] * (255 / 16)
    grey = functional.interpolate(grey, size=_SIZE, mode="bilinear", align_corners=False)
    return grey.round().to(torch.uint8), torch.from_numpy(bunch.target).long()


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits of 8×8, enlarged bilinearly to 32×32.

    Three equal channels; the most ink, 16, is 255. 360 are held out, always the same, each class by
    its share. A mirrored digit is none, so there are no flips.

    Returns:
        The data set `digits`: 1,437 pictures to fit on, 360 held out.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    grey, labels = _pictures()

    def part(index: Tensor) -> Images:
        return Images(grey[index].repeat(1, 3, 1, 1), labels[index])

    train, test = map(part, held_out(labels, _HELD_OUT))
    return Dataset("digits", train, test, tuple("0123456789"), flips=False)
