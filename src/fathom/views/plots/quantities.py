"""How each statistic is called on an axis, in which unit, and on which scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fathom.views.look import WORDS

_SQUARED = "squared activation units"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A statistic on an axis.

    Attributes:
        name: In words.
        unit: What it counts or is a share of.
        scale: `share` lies in [0, 1], `log` spans orders of magnitude.
    """

    name: str
    unit: str
    scale: Literal["share", "linear", "log"] = "linear"

    @property
    def label(self) -> str:
        """The name with the unit."""
        return f"{self.name} ({self.unit})"

    @property
    def none(self) -> str:
        """In words, that there is nothing that its axis can show."""
        return f"No finite {self.name}{' above 0' if self.scale == 'log' else ''}"

    def shows(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which values its axis can show.

        Args:
            values: Any.

        Returns:
            False for nan and the infinities, and on a log axis for what is not above 0.
        """
        known = np.isfinite(values)
        return known & (values > 0) if self.scale == "log" else known


QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "saturation": Quantity(WORDS["saturation"], "intrinsic dimension / width", "share"),
        "intrinsic_dimension": Quantity(WORDS["intrinsic_dimension"], "directions"),
        "effective_rank": Quantity("effective rank", "directions"),
        "participation_ratio": Quantity("participation ratio", "directions"),
        "stable_rank": Quantity("stable rank", "directions"),
        "total_variance": Quantity("total variance", _SQUARED, "log"),
        "diagonal_trace": Quantity("diagonal trace", _SQUARED, "log"),
        "log_determinant": Quantity("log determinant", "natural logarithm"),
        "determinant": Quantity("determinant", "product of the eigenvalues", "log"),
        "power_law_exponent": Quantity("power-law exponent", "fall of log value by log rank"),
        "condition_number": Quantity("condition number", "largest / smallest eigenvalue", "log"),
        "idle_features": Quantity("idle features", "share of the width", "share"),
        "rankme": Quantity("RankMe", "directions"),
    }
)
"""Of every name in `fathom.STATISTICS`."""
