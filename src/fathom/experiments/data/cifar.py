"""CIFAR-10, from the Hugging Face hub or a copy of it in a folder."""

from functools import lru_cache
from pathlib import Path

from fathom.errors import ArgumentError
from fathom.experiments.data.dataset import Dataset
from fathom.experiments.data.folder import parts
from fathom.experiments.data.hub import from_hub
from fathom.experiments.data.pictures import assembled

_REPOSITORY = "uoft-cs/cifar10"
_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


@lru_cache(maxsize=1)
def cifar10(folder: Path | None) -> Dataset:
    """Return CIFAR-10: 50,000 pictures of 32×32 to fit on and 10,000 held out.

    The last one is held, 180 MB: unbalanced classes would else decode it again for each repetition.
    Its tensors are shared, so leave them as they are.

    Args:
        folder: A copy, in a format of `folder.parts`; None for the hub.

    Returns:
        The data set `cifar10`, with as many pictures as the copy has.

    Raises:
        ArgumentError: If the copy is not of ten such classes in two parts.
        DataNotFoundError: If it cannot be reached.
        MissingExtraError: If `datasets` is not installed.
    """
    found = from_hub(_REPOSITORY) if folder is None else parts(folder)
    if "test" not in found:
        raise ArgumentError(
            f"cifar10: {folder or _REPOSITORY} must have the parts train and test, got "
            f"{', '.join(found)}."
        )
    dataset = assembled(found, name="cifar10", scaled=False)
    # A file that has numbers alone is taken at its word that they are in the usual order.
    numbers = tuple(map(str, range(len(_NAMES))))
    if dataset.classes not in {_NAMES, numbers}:
        raise ArgumentError(
            f"cifar10: classes must be {', '.join(_NAMES)}, got {', '.join(dataset.classes)}. "
            "For other pictures pass --data folder:PATH."
        )
    return Dataset(dataset.name, dataset.train, dataset.test, _NAMES)
