"""From bytes to what a network takes: random crops and flips, and the usual normalisation."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FRAME = 4


def normalised(pixels: Tensor) -> Tensor:
    """Return pictures as numbers of mean about 0 and deviation about 1.

    Args:
        pixels: (n, 3, h, w), uint8, on any device.

    Returns:
        (n, 3, h, w), float32: pixels / 255, less each channel's mean over ImageNet, divided by its
        standard deviation there.
    """
    mean, std = (torch.tensor(each, device=pixels.device)[:, None, None] for each in (_MEAN, _STD))
    return (pixels.float() / 255 - mean) / std


def augmented(pixels: Tensor, generator: Generator, *, flips: bool) -> Tensor:
    """Return pictures moved at random, each in its own way.

    Each is cropped to its size from a frame of 4 black pixels, and mirrored with probability 1/2.

    Args:
        pixels: (n, 3, h, w), uint8, on any device.
        generator: On the CPU; all that is random comes from it, so that a training can go on where
            it was.
        flips: Whether pictures are mirrored.

    Returns:
        (n, 3, h, w), uint8, on the same device.
    """
    count, _, height, width = pixels.shape
    places = torch.randint(2 * _FRAME + 1, (2, count, 1), generator=generator)
    rows = places[0] + torch.arange(height)
    columns = places[1] + torch.arange(width)
    if flips:
        mirrored = torch.randint(2, (count, 1), generator=generator).bool()
        columns = torch.where(mirrored, columns.flip(1), columns)
    framed = functional.pad(pixels, (_FRAME,) * 4)
    each = torch.arange(count, device=pixels.device)[:, None, None]
    rows, columns = (index.to(pixels.device) for index in (rows[:, :, None], columns[:, None]))
    return framed[each, :, rows, columns].permute(0, 3, 1, 2).contiguous()
