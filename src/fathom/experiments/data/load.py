"""Data sets by name."""

from pathlib import Path

from fathom.errors import ArgumentError
from fathom.experiments.data.dataset import Dataset


def load(
    name: str,
    *,
    classes: int | None = None,
    clutter: float = 0.0,
    repetition: int = 0,
    folder: Path | None = None,
) -> Dataset:
    """Return a data set.

    Args:
        name: Such as `digits`.
        classes: How many of its classes are used, the first ones; None for all.
        clutter: How much of a photograph lies behind the digits, in [0, 1].
        repetition: Which draw, of what is drawn at random: photographs and imbalances.
        folder: Where a data set lies that is not to be taken from the hub.

    Returns:
        Its two parts.

    Raises:
        ArgumentError: If there is no such data set, or it cannot be had in this way.
        DataNotFoundError: If it cannot be reached.
    """
    raise ArgumentError(f"data must be known, got {name!r}.")
