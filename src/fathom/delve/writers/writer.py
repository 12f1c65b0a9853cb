"""What a writer is: it takes numbers by name. The n-th value of a name is that of epoch n."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

STATMAP: Mapping[str, str] = {
    "idim": "intrinsic-dimensionality",
    "lsat": "saturation",
    "cov": "covariance-matrix",
    "det": "covariance-determinant",
    "trc": "covariance-trace",
    "dtrc": "diagonal-trace",
    "embed": "embedded-sample",
}
"""Delve's short name of a statistic -> what its columns are called."""


class AbstractWriter(ABC):
    """Takes numbers by name; what each method is given is what Delve gives it."""

    @abstractmethod
    def resume_from_saved_state(self, initial_epoch: int) -> None:
        """Go on with what an earlier training wrote.

        Args:
            initial_epoch: The epoch of the next values.
        """

    @abstractmethod
    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        """Take the next value of a name.

        Args:
            name: Of the number.
            value: The number.
            **kwargs: Not used.
        """

    @abstractmethod
    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Take the next values of several names.

        Args:
            prefix: Goes before the names, where the writer has prefixes.
            value_dict: Names to values; of a layer all its statistics.
            **kwargs: `sample_value_dict`, empty.
        """

    @abstractmethod
    def save(self) -> None:
        """Bring to the disk what was added."""

    @abstractmethod
    def close(self) -> None:
        """End writing."""


def plain(value: Any) -> Any:
    """Return a number as Python's own, and a matrix as NumPy's.

    Args:
        value: Of torch, NumPy or Python.

    Returns:
        What is something else as it is, and None as nan.
    """
    if value is None:
        return math.nan
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic) and value.size == 1 and value.ndim < 2:
        return value.item()
    return value


def as_float(value: Any) -> float:
    """Return a number, or nan for what is none: text, a matrix, an int that no float can hold."""
    value = plain(value)
    try:
        return math.nan if isinstance(value, str | bytes) or np.ndim(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def is_nan(value: Any) -> bool:
    """Tell whether a value, as `plain` returns it, stands for none."""
    return isinstance(value, float) and math.isnan(value)


def is_matrix(name: str, value: Any) -> bool:
    """Tell whether a value is no single number, or stands for a matrix that there is not."""
    return STATMAP["cov"] in name or np.ndim(value) > 0
