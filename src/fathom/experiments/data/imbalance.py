"""Random imbalances between classes."""

from dataclasses import replace

import numpy as np
import torch

from fathom.experiments.data.dataset import Dataset
from fathom.experiments.data.subset import taken

_SEED = 2  # another than that of the clutter: both may be drawn in one repetition


def shares(classes: int) -> list[float]:
    """Return how much of the data each class is, rising linearly to three times the least.

    Args:
        classes: How many there are; at least 2.

    Returns:
        Their shares, with sum 1.

    References:
        Shenk et al. 2019, section 3.1: the least of 10 classes makes up 5%, the most 15%.

    Example:
        >>> [round(share, 3) for share in shares(10)][::3]
        [0.05, 0.083, 0.117, 0.15]
    """
    weights = np.linspace(1, 3, classes)
    return [float(share) for share in weights / weights.sum()]


def unbalanced(dataset: Dataset, *, repetition: int) -> Dataset:
    """Return a data set with the part to fit on drawn with a random imbalance.

    Which class has which of the `shares` is drawn by repetition. Pictures are drawn without
    replacement, as many in all as the classes can give. The paper speaks of the rate at which
    classes are sampled: so what is held out stays as it was, and accuracies are of the same
    pictures in every repetition, as for the balanced data.

    Args:
        dataset: With its classes as they are.
        repetition: Which draw.

    Returns:
        The data set with fewer pictures to fit on, in their old order.
    """
    random = np.random.default_rng((_SEED, repetition))
    labels = dataset.train.labels.numpy()
    count = len(dataset.classes)
    wanted = random.permutation(shares(count))
    total = (np.bincount(labels, minlength=count) / wanted).min()
    # A little more than the exact product, or the scarcest class may lose one to rounding.
    drawn = [
        random.permutation(np.flatnonzero(labels == label))[: int(share * total + 1e-6)]
        for label, share in enumerate(wanted)
    ]
    index = torch.from_numpy(np.sort(np.concatenate(drawn)))
    return replace(dataset, train=taken(dataset.train, index))
