"""From few rows intrinsic dimension and saturation read low: of which trainings that is said."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fathom.experiments.outcome import Outcome
from fathom.spectral.spectrum import PROVISIONAL_BELOW

_NAMED = 4


def provisional(outcomes: Sequence[Outcome]) -> str:
    """Say which layers were read from too few rows, as the last line under findings.

    Args:
        outcomes: All trainings.

    Returns:
        A sentence; "" where every reading has 10 rows a unit or more.
    """
    found = [
        [each.layers[place] for place in np.flatnonzero(each.rows_per_width < PROVISIONAL_BELOW)]
        for each in outcomes
    ]
    count = sum(map(bool, found))
    if not count:
        return ""
    names = [name for name, _ in Counter(name for each in found for name in each).most_common()]
    more = [f"{len(names) - _NAMED} more"] * (len(names) > _NAMED)
    return (
        f"{count} of {len(outcomes)} trainings {'has' if count == 1 else 'have'} layers with fewer "
        f"than {PROVISIONAL_BELOW} test rows a unit ({', '.join(names[:_NAMED] + more)}): their "
        "intrinsic dimension and saturation read low."
    )


def unequal(compared: Iterable[Sequence[Outcome]]) -> str:
    """Note where trainings that are compared were read from different numbers of pictures.

    Args:
        compared: Those that are compared with each other, in one or more parts.

    Returns:
        A note; "" where none differ within a part.
    """
    parts = [{each.test_pictures for each in part} for part in compared]
    differing = set().union(*(part for part in parts if len(part) > 1))
    if not differing:
        return ""
    return f"{min(differing)} to {max(differing)} test pictures: fewer rows read lower"
