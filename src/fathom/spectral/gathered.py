"""What was gathered of one layer in one phase since the last snapshot."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from fathom.spectral.moments import Moments
from fathom.spectral.sketch import COLUMNS, Sketch

WIDEST_MATRIX = 16_384
"""The widest layer whose scatter is held: it takes 2 GiB."""


class Counts(NamedTuple):
    """What is behind some moments, and what is not.

    Attributes:
        samples: Samples behind the rows.
        calls: Calls that were read.
        dropped: Rows left out because they held a NaN or an infinity.
        padded: Rows left out because they are padding.
        hits: Samples that a probe classified right, each as often as it counts.
        tries: Samples that it classified, as often.
        probed: Samples that it classified, each once.
    """

    samples: int
    calls: int
    dropped: int
    padded: int
    hits: int = 0
    tries: int = 0
    probed: int = 0


def is_sketched(width: int, *, max_width: int) -> bool:
    """Tell whether a layer is sketched: one no wider than a sketch has columns never is.

    Args:
        width: d.
        max_width: The widest that is not.

    Returns:
        True where `Sketch` takes the place of `Moments`.
    """
    return width > max(max_width, COLUMNS)


def memory_of(width: int, *, max_width: int) -> int:
    """Return the bytes that the moments of a layer take in both phases.

    Args:
        width: d.
        max_width: The widest that is not sketched.

    Returns:
        Twice 8·d², and 4·d² of products that wait to join it; of l columns twice 8·d·l, and d·l of
        signs, which layers of one width share.
    """
    if is_sketched(width, max_width=max_width):
        return 2 * 8 * width * COLUMNS + width * COLUMNS
    return 2 * 12 * width**2


@dataclass(eq=False, slots=True, kw_only=True)
class Gathered:
    """Moments, and what is behind them.

    Attributes:
        moments: None until the first rows, which tell the width and the device; of a wide layer a
            sketch.
        resolution: The relative step from one number to the next in the coarsest type of rows.
        samples: Samples behind the rows.
        calls: Calls that were read.
        padded: Rows left out because they are padding; a tensor where to look would cost.
        hits: (3,) int64, `hits`, `tries` and `probed` of `Counts`; None where no probe was scored.
    """

    moments: Moments | Sketch | None = None
    resolution: float = 0.0
    samples: int = 0
    calls: int = 0
    padded: Tensor | int = 0
    hits: Tensor | None = None

    def counts(self) -> Counts:
        """Return the counts, as they are on the CPU."""
        dropped = 0 if self.moments is None else int(self.moments.dropped)
        probed = () if self.hits is None else self.hits.tolist()
        return Counts(self.samples, self.calls, dropped, int(self.padded), *probed)
