"""What people pass as eigenvalues -> a checked vector; what they pass as a threshold, checked."""

from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fathom.errors import ArgumentError, ShapeError

Numbers: TypeAlias = Tensor | ArrayLike
Vector: TypeAlias = NDArray[np.float64]

FLOAT32_EPS = float(np.finfo(np.float32).eps)
FLOAT64_EPS = float(np.finfo(np.float64).eps)


def descending(eigenvalues: Numbers, *, where: str) -> Vector:
    """Check eigenvalues and put them into descending order.

    Args:
        eigenvalues: (d,), in any order.
        where: The function, for the message.

    Returns:
        (d,) float64, >= 0.

    Raises:
        ShapeError: If they are empty or not one-dimensional.
        ArgumentError: If one is not finite, or negative by more than rounding.
    """
    values: Vector = np.sort(vector(eigenvalues, where=where, argument="eigenvalues"))[::-1]
    return values


def vector(numbers: Numbers, *, where: str, argument: str) -> Vector:
    """Check numbers that cannot be negative.

    Args:
        numbers: (d,), in any order.
        where: The function, for the message.
        argument: What its argument is called.

    Returns:
        (d,) float64, >= 0, in the same order.

    Raises:
        ShapeError: If they are empty or not one-dimensional.
        ArgumentError: If one is not finite, or negative by more than rounding.
    """
    values = as_array(numbers)
    if values.ndim != 1 or values.size == 0:
        raise ShapeError(
            f"{where}: {argument} must have shape (d,) with d >= 1, got {values.shape}. "
            "Pass the numbers of one layer as a vector."
        )
    if not np.isfinite(values).all():
        raise ArgumentError(
            f"{where}: {argument} must be finite, got {values[~np.isfinite(values)][0]}. "
            "Drop rows with NaN or infinity before the covariance is computed."
        )
    # eigvalsh leaves the zeros of a singular matrix on either side of 0.
    rounding = values.size * FLOAT32_EPS * values.max(initial=0.0)
    if values.min() < -rounding:
        raise ArgumentError(
            f"{where}: {argument} must be >= 0, got {values.min():g}. "
            "Pass those of a covariance matrix, which has none below 0."
        )
    return np.maximum(values, 0)


def as_array(numbers: Numbers) -> Vector:
    """Bring numbers to NumPy.

    Args:
        numbers: A tensor on any device, an array or a list.

    Returns:
        The same numbers in float64, of the same shape.
    """
    plain: Any = numbers.detach().cpu().double() if isinstance(numbers, Tensor) else numbers
    return np.asarray(plain, dtype=np.float64)


def check_threshold(threshold: float, *, where: str) -> None:
    """Refuse a threshold outside (0, 1].

    Args:
        threshold: What came.
        where: The function, for the message.

    Raises:
        ArgumentError: If `threshold` is not in (0, 1].
    """
    if not isinstance(threshold, Real) or not 0 < threshold <= 1:
        raise ArgumentError(
            f"{where}: threshold must be in (0, 1], got {threshold!r}. Pass 0.99 for 99 percent."
        )
