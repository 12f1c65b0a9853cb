"""Digits over photographs: a difficulty that can be turned up, on real pixels."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from fathom.experiments.data.dataset import Dataset, Images
from fathom.extras import require

_SEED = 1  # another than that of the imbalances: both may be drawn in one repetition


@cache
def _photographs() -> Any:
    """Return (2, 3, 427, 640), uint8: china.jpg and flower.jpg."""
    require("PIL", extra="experiments")  # scikit-learn reads them by it
    images = require("sklearn.datasets", extra="experiments").load_sample_images().images
    return np.stack(images).transpose(0, 3, 1, 2)


def cluttered(dataset: Dataset, *, amount: float, repetition: int) -> Dataset:
    """Return digits over patches of scikit-learn's two photographs.

    A pixel is digit + amount · (1 − ink) · patch, with ink = digit / 255: white ink that covers
    what is behind it, and a photograph that is as bright as `amount`. So a digit stays whole at any
    amount, and only its contrast falls. Held-out accuracy of a logistic regression on the pixels,
    mean of 5 draws of patches: 0.958 at 0, 0.956 at 0.25, 0.953 at 0.5, 0.942 at 0.75, 0.863 at 1.
    It falls little up to 0.5, within what one draw differs from another, and most at the end.

    Patches to fit on come from the left halves of the photographs, those held out from the right
    halves: they share no pixel. Places are drawn by repetition, and are the same for all amounts.

    Args:
        dataset: White digits on black, all channels equal.
        amount: In [0, 1]; at 0 the digits are as they were.
        repetition: Which draw.

    Returns:
        The same digits, cluttered.

    Raises:
        MissingExtraError: If scikit-learn or Pillow is not installed.
    """
    random = np.random.default_rng((_SEED, repetition))
    photographs = _photographs()
    middle = photographs.shape[-1] // 2

    def part(images: Images, area: Any) -> Images:
        size = images.pixels.shape[-2:]
        windows = np.lib.stride_tricks.sliding_window_view(area, size, axis=(2, 3))
        which, row, column = (
            random.integers(count, size=len(images)) for count in np.take(windows.shape, (0, 2, 3))
        )
        patches = torch.from_numpy(windows[which, :, row, column]).float()
        digit = images.pixels.float()
        pixels = digit + amount * (1 - digit / 255) * patches
        return replace(images, pixels=pixels.round().to(torch.uint8))

    return replace(
        dataset,
        train=part(dataset.train, photographs[..., :middle]),
        test=part(dataset.test, photographs[..., middle:]),
    )
