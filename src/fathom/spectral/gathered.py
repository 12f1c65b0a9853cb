"""What was gathered of one layer in one phase since the last snapshot."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from fathom.spectral.moments import Moments


class Counts(NamedTuple):
    """What is behind some moments, and what is not.

    Attributes:
        samples: Samples behind the rows.
        calls: Calls that were read.
        dropped: Rows left out because they held a NaN or an infinity.
        padded: Rows left out because they are padding.
    """

    samples: int
    calls: int
    dropped: int
    padded: int


@dataclass(eq=False, slots=True, kw_only=True)
class Gathered:
    """Moments, and what is behind them.

    Attributes:
        moments: None until the first rows, which tell the width and the device.
        resolution: The relative step from one number to the next in the coarsest type of rows.
        samples: Samples behind the rows.
        calls: Calls that were read.
        padded: Rows left out because they are padding; a tensor where to look would cost.
    """

    moments: Moments | None = None
    resolution: float = 0.0
    samples: int = 0
    calls: int = 0
    padded: Tensor | int = 0

    def counts(self) -> Counts:
        """Return the counts, as they are on the CPU."""
        dropped = 0 if self.moments is None else int(self.moments.dropped)
        return Counts(self.samples, self.calls, dropped, int(self.padded))
