"""Parts of a data set: some of its pictures, some of its classes, a part that is held out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fathom.experiments.data.dataset import Dataset, Images


def taken(images: Images, index: Tensor) -> Images:
    """Return some pictures.

    Args:
        images: Of a data set.
        index: (k,), int64: which.

    Returns:
        Those pictures, in the order of `index`.
    """
    return Images(images.pixels[index], images.labels[index])


def limited(dataset: Dataset, kept: Sequence[int]) -> Dataset:
    """Return a data set with some classes only.

    Args:
        dataset: With all of them.
        kept: Their labels, rising.

    Returns:
        The pictures of these classes in their old order, labelled from 0 in the order of `kept`.
    """
    labels = torch.tensor(kept)

    def part(images: Images) -> Images:
        some = taken(images, torch.isin(images.labels, labels).nonzero()[:, 0])
        return Images(some.pixels, torch.searchsorted(labels, some.labels))

    names = tuple(dataset.classes[label] for label in kept)
    return replace(dataset, train=part(dataset.train), test=part(dataset.test), classes=names)


def held_out(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Split pictures so that every class has its share in both parts, always in the same way.

    Args:
        labels: (n,), int64.
        count: How many are held out.

    Returns:
        (n - count,) indices to keep and (count,) indices that are held out, both rising.
    """
    random = np.random.default_rng(0)
    known, sizes = np.unique(labels.numpy(), return_counts=True)
    exact = sizes * count / sizes.sum()
    quotas = np.floor(exact).astype(int)
    # What rounding down left over goes to the classes that lost most by it.
    quotas[np.argsort(quotas - exact, kind="stable")[: count - quotas.sum()]] += 1
    out = np.zeros(len(labels), dtype=bool)
    for label, quota in zip(known, quotas, strict=True):
        out[random.permutation(np.flatnonzero(labels.numpy() == label))[:quota]] = True
    return torch.from_numpy(np.flatnonzero(~out)), torch.from_numpy(np.flatnonzero(out))
