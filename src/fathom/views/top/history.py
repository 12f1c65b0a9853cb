"""What `fathom top` knows of a run: read in a thread of its own, then never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fathom.reading import PHASES, LayerFacts
from fathom.store.timeline import Moment, Timeline
from fathom.views.findings import Finding, findings


@dataclass(frozen=True, slots=True, eq=False)
class PhaseHistory:
    """One phase at every step.

    Attributes:
        saturation: (steps, layers), nan where it is not known.
        average: (steps,) average saturation, nan where there is none.
        seen: (steps,) whether any layer has a reading.
        findings: Of the last step.
    """

    saturation: NDArray[np.float64]
    average: NDArray[np.float64]
    seen: NDArray[np.bool_]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A run, as far as it was recorded when it was looked at.

    Attributes:
        path: Its folder.
        facts: The observed layers, in execution order.
        moments: The steps that are held, ascending.
        recorded: How many there are in the run.
        phases: `train` and `eval`.
        metrics: The user's metrics by name, each (steps,).
        threshold: Share of the variance that counts as all; nan where the run does not tell.
    """

    path: Path
    facts: Sequence[LayerFacts]
    moments: Sequence[Moment]
    recorded: int
    phases: Mapping[str, PhaseHistory]
    metrics: Mapping[str, NDArray[np.float64]]
    threshold: float

    @classmethod
    def of(cls, timeline: Timeline) -> "History":
        """Take what a timeline holds now.

        Args:
            timeline: Of the run.

        Returns:
            The history, which does not change with it.
        """
        settings = timeline.run.facts.get("settings", {})
        moments = timeline.moments
        return cls(
            path=timeline.run.path,
            facts=list(timeline.facts),
            moments=moments,
            recorded=timeline.recorded,
            phases={
                phase: PhaseHistory(
                    saturation=timeline.numbers("saturation", phase=phase),
                    average=timeline.averages(phase=phase),
                    seen=np.array(
                        [bool((each.numbers["phase"] == place).any()) for each in moments],
                        dtype=np.bool_,
                    ),
                    findings=findings(timeline, phase=phase),
                )
                for place, phase in enumerate(PHASES)
            },
            metrics=timeline.metrics,
            threshold=float(settings.get("threshold", np.nan)),
        )

    def place(self, step: int | None) -> int:
        """Return where a step is among those held: the nearest at or before it.

        Args:
            step: The step; None for the last.
        """
        if step is None:
            return len(self.moments) - 1
        steps = [each.step for each in self.moments]
        return max(int(np.searchsorted(steps, step, side="right")) - 1, 0)
