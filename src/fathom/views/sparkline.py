"""A row of numbers as a row of small bars, for terminals."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_HEIGHTS = "▁▂▃▄▅▆▇█"


def sparkline(values: NDArray[np.float64], width: int, *, least: float = 0.0) -> str:
    """Draw a row of numbers, the lowest as the lowest bar and the highest as the highest.

    Args:
        values: (steps,); nan and the infinities leave a gap.
        width: In characters; of more numbers, means of neighbours are drawn.
        least: Draw no smaller difference than this as the whole height.

    Returns:
        At most `width` characters.
    """
    if not len(values):
        return ""
    known = np.where(np.isfinite(values), values, np.nan)
    if len(known) > width:
        bounds = np.linspace(0, len(known), width + 1).astype(int)
        parts = (known[start:end] for start, end in pairwise(bounds))
        known = np.array(
            [part[np.isfinite(part)].mean() if _any(part) else np.nan for part in parts]
        )
    if not _any(known):
        return " " * len(known)
    # Halves, as the difference of two huge numbers may be too large for a float.
    low, high = np.nanmin(known) / 2, np.nanmax(known) / 2
    span = max(high - low, least / 2)
    shares = (known / 2 - low) / span if span > 0 else np.zeros_like(known)
    places = np.nan_to_num(shares) * (len(_HEIGHTS) - 1)
    return "".join(
        _HEIGHTS[round(place)] if known_here else " "
        for place, known_here in zip(places, np.isfinite(known), strict=True)
    )


def _any(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).any())
