"""Wider layers: more dimensions, less saturation (SA 3.2), and a better accuracy (EP)."""

from collections.abc import Hashable

from fathom.experiments.findings.finding import Claim
from fathom.experiments.findings.groups import looks_at_all, tells_classes
from fathom.experiments.findings.quantities import ACCURACY, DIMENSION, SATURATION, WIDTH
from fathom.experiments.findings.trend import Trend
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import problem_of


def alike_but_width(outcome: Outcome) -> Hashable:
    """Return all that decides a training but its width.

    Args:
        outcome: Of a training.
    """
    return problem_of(outcome), outcome.task.model, outcome.task.repetition


WIDTHS = (
    Trend(
        claim=Claim(
            text="Wider layers have a higher intrinsic dimension.",
            source="SA 3.2, Fig. 2a",
            above=True,
        ),
        x=WIDTH,
        y=DIMENSION,
        within=alike_but_width,
        applies=lambda group: not looks_at_all(group[0]),
    ),
    Trend(
        claim=Claim(
            text="Wider layers are less saturated.",
            source="SA 3.2, Fig. 2b; SA 3.3, Fig. 5",
            above=False,
        ),
        x=WIDTH,
        y=SATURATION,
        within=alike_but_width,
        applies=lambda group: not looks_at_all(group[0]),
    ),
    Trend(
        claim=Claim(
            text="Wider networks are less saturated.",
            source="SA 3.4, Fig. 9; EP",
            above=False,
        ),
        x=WIDTH,
        y=SATURATION,
        within=alike_but_width,
        applies=lambda group: looks_at_all(group[0]),
    ),
    Trend(
        claim=Claim(
            text="Wider networks have a higher test accuracy.",
            source="SA 3.3, Fig. 5; EP",
            above=True,
        ),
        x=WIDTH,
        y=ACCURACY,
        within=alike_but_width,
        applies=lambda group: tells_classes(group[0]),
    ),
)
