"""Numbers as the page reads them, and arrays in as few bytes a number as hold it, in base64."""

import math
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARES = 10_000
"""What packed shares are multiplied with: four digits are left of them."""

_EXACT = 2**53 - 1


def number(value: float, *, digits: int | None = None) -> float | None:
    """Return a number, rounded if asked for; None where it is not finite."""
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits)


def plain(values: NDArray[np.float64], *, digits: int | None = None) -> list[float | None]:
    """Return `number` of each."""
    return [number(value, digits=digits) for value in values.tolist()]


def exact(step: int) -> int | str:
    """Return a step as the page has it: as text, where JavaScript has no such whole number."""
    return step if abs(step) <= _EXACT else str(step)


def packed(values: NDArray[np.float64]) -> dict[str, Any]:
    """Pack an array of counts for the page.

    Args:
        values: (steps, layers) whole numbers >= 0, or nan.

    Returns:
        `type` (`u1`, `u2` or `f4`), `rows`, `columns` and `data`: the numbers by row, little-endian
        in base64. The largest number of an unsigned type stands for nan. Where all rows are the
        same there is one, and it holds for every step.
    """
    columns = values.shape[1]
    if len(values) > 1 and np.array_equal(values, np.broadcast_to(values[:1], values.shape), True):
        values = values[:1]
    known = values[np.isfinite(values)]
    most = known.max() if known.size else 0
    kind = next((kind for kind, top in (("u1", 255), ("u2", 65535)) if most < top), "f4")
    if kind != "f4":
        values = np.where(np.isfinite(values), values, np.iinfo(kind).max)
    data = b64encode(np.ascontiguousarray(values, f"<{kind}").tobytes()).decode()
    return {"type": kind, "rows": len(values), "columns": columns, "data": data}


def packed_shares(values: NDArray[np.float64], *, below: float = 0.0) -> dict[str, Any]:
    """Pack numbers about 0 to 1, with four digits behind the point.

    Args:
        values: (rows, columns), or nan.
        below: The least that there may be, at most 0; what is less becomes that, and what is more
            than 3 becomes 3.

    Returns:
        As `packed`, of the numbers less `below` times `SHARES`.
    """
    return packed(np.round((np.clip(values, below, 3.0) - below) * SHARES))
