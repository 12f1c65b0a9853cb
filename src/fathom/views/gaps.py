"""Where a layer has no reading although others of its phase have one, in words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fathom.reading import PHASES
from fathom.store.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing of some layers in one phase.

    Attributes:
        text: When they have no reading.
        layers: Which.
    """

    text: str
    layers: tuple[str, ...]


def gaps(timeline: Timeline) -> list[Gap]:
    """Say which layers lack readings, at any step and not only at the last.

    Args:
        timeline: Of a run.

    Returns:
        Layers that are missing at the same steps together. Layers without any reading in the whole
        run are left out: they are told of as not observed.
    """
    read = {phase: np.isfinite(timeline.numbers("status", phase=phase)) for phase in PHASES}
    ever = np.vstack(list(read.values())).any(axis=0)
    held, layers = timeline.steps, timeline.layers
    found: dict[str, list[str]] = {}
    for phase, seen in read.items():
        here = np.flatnonzero(seen.any(axis=1)).tolist()
        steps = [held[place] for place in here]
        seen = seen[here]
        for place in np.flatnonzero(ever & ~seen.all(axis=0)).tolist():
            if steps:
                text = f"{_missing(seen[:, place], steps)} ({phase})"
                found.setdefault(text, []).append(layers[place])
    return [Gap(text, tuple(names)) for text, names in found.items()]


def _missing(seen: NDArray[np.bool_], steps: list[int]) -> str:
    """Say at which of the steps a layer was not read."""
    there = np.flatnonzero(seen)
    if not len(there):
        return "No reading at any step"
    first, last = int(there[0]), int(there[-1])
    if len(there) == last - first + 1 and last == len(steps) - 1:
        return f"No reading before step {steps[first]}"
    if len(there) == last - first + 1 and first == 0:
        return f"No reading after step {steps[last]}"
    return f"No reading at {len(steps) - len(there):,} of {len(steps):,} steps"
