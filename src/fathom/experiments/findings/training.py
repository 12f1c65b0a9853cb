"""What shows early: patterns (SA Fig. 11, EP), and saturation before the loss (SA 3.3)."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fathom.experiments.curves import ALIKE, curve, likeness, metric
from fathom.experiments.findings.accuracies import network, same_problem
from fathom.experiments.findings.finding import Claim, Finding
from fathom.experiments.findings.groups import groups, label, looks_at_all
from fathom.experiments.findings.quantities import (
    FIRST_SATURATION,
    SATURATION,
    SETTLED,
    curve_name,
    emerged,
    epochs,
    named,
    settled,
)
from fathom.experiments.findings.tails import has_pattern
from fathom.experiments.findings.trend import Trend, known
from fathom.experiments.outcome import Numbers, Outcome
from fathom.experiments.statistics import ROUNDED, mean

_LEAST_EPOCHS = 4
"""Of a training of which something can be said to show early: in its first quarter is one epoch."""

_EARLY = Claim(
    text="The last pattern of saturation is there before half of the training.",
    source="SA 3.5, Fig. 11; EP",
    above=False,
    bound=0.5,
)
_BEFORE_LOSS = Claim(
    text="Saturation settles before the training loss does.", source="SA 3.3, Fig. 7", above=False
)


def early(outcomes: Sequence[Outcome]) -> Iterator[Finding]:
    """Read after which share of the training the pattern stays that of the last epoch.

    Args:
        outcomes: All trainings.

    Yields:
        One finding a group.
    """
    for group in groups(outcomes):
        if has_pattern(group):
            yield _early(group)


def before_loss(outcomes: Sequence[Outcome]) -> Iterator[Finding]:
    """Compare the epochs at which saturation and the training loss settle, both while training.

    Args:
        outcomes: All trainings.

    Yields:
        One finding a group.
    """
    for group in groups(outcomes):
        if "train_loss" not in group[0].metrics:
            continue
        found, note = known(group, named("lag", _lag))
        yield _BEFORE_LOSS.judged(
            # Both ends of a difference are rounded.
            mean([_lag(each) for each in found], resolution=ROUNDED * math.sqrt(2)),
            found,
            group=label(group),
            statistic=(
                f"mean difference in epochs, {curve_name(group[0])} minus train loss, until each "
                f"stays within {SETTLED:.0%} of its range from its last value"
            ),
            lacks=_short(min(map(epochs, group))),
            notes=[note],
        )


TRAININGS = (
    early,
    Trend(
        claim=Claim(
            text="Networks that end more saturated were more saturated after the first epoch.",
            source="SA 3.5, Fig. 11",
            above=True,
        ),
        x=FIRST_SATURATION,
        y=SATURATION,
        within=same_problem,
        applies=lambda group: looks_at_all(group[0]),
        axis=network,
        axis_name="networks",
        least_epochs=_LEAST_EPOCHS,
    ),
    before_loss,
)


def _early(group: Sequence[Outcome]) -> Finding:
    likenesses = {id(each): likeness(each) for each in group}
    share = named("share", lambda outcome: emerged(likenesses[id(outcome)]))
    found, note = known(group, share)
    least = min(map(epochs, group))
    return _EARLY.judged(
        mean([share.of(each) for each in found], resolution=ROUNDED / max(least, 1)),
        found,
        group=label(group),
        statistic=(
            "mean share of the epochs until the rank correlation over the layers with the last "
            f"pattern stays at {ALIKE:g} or above"
        ),
        lacks=_short(least),
        notes=[_after_a_quarter([likenesses[id(each)] for each in found]), note],
    )


def _lag(outcome: Outcome) -> float:
    loss = settled(metric(outcome, "train_loss"))
    return settled(curve(outcome, phase="train")) - loss


def _short(least: int) -> str:
    return f"{least} of at least {_LEAST_EPOCHS} epochs" if least < _LEAST_EPOCHS else ""


def _after_a_quarter(likenesses: Sequence[Numbers]) -> str:
    values = [each[math.ceil(len(each) / 4) - 1] for each in likenesses]
    finite = [value for value in values if math.isfinite(value)]
    return f"{np.mean(finite):.2f} on average after the first quarter" if finite else ""
