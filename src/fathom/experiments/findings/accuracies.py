"""More saturated networks are less accurate, past 45% more so of a harder problem (SA 3.4)."""

import itertools
from collections.abc import Hashable, Iterator, Sequence

from fathom.experiments.findings.finding import LEAST_REPETITIONS, LEAST_VALUES, Claim, Finding
from fathom.experiments.findings.groups import (
    kin,
    label,
    looks_at_all,
    source,
    tells_classes,
)
from fathom.experiments.findings.quantities import ACCURACY, SATURATION
from fathom.experiments.findings.rows import unequal
from fathom.experiments.findings.trend import Trend, known
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import Problem, grouped, problem_of
from fathom.experiments.statistics import ROUNDED, Slope, slope, slope_difference
from fathom.views.findings import HIGH_AVERAGE

_PAST = f"past {HIGH_AVERAGE:.0%}"

_FALLS = Claim(
    text=f"Past {HIGH_AVERAGE:.0%} average saturation, accuracy falls as saturation rises.",
    source="SA 3.4, Fig. 9, 13",
    above=False,
)
_STEEPER = Claim(
    text=f"Past {HIGH_AVERAGE:.0%} average saturation, the harder problem's accuracy falls faster.",
    source="SA 3.4, Fig. 9, 13",
    above=False,
)


def network(outcome: Outcome) -> Hashable:
    """Return which network a training is of, whatever it was to learn.

    Args:
        outcome: Of a training.
    """
    return outcome.task.model, outcome.task.width


def same_problem(outcome: Outcome) -> Hashable:
    """Return what networks have in common that are compared over one problem.

    Args:
        outcome: Of a training.
    """
    return problem_of(outcome), outcome.task.repetition


def _lower(*, looks: bool, source: str) -> Trend:
    return Trend(
        claim=Claim(
            text="More saturated networks have a lower test accuracy.", source=source, above=False
        ),
        x=SATURATION,
        y=ACCURACY,
        within=same_problem,
        applies=lambda group: tells_classes(group[0]) and looks_at_all(group[0]) is looks,
        axis=network,
        axis_name="networks",
    )


def falls(outcomes: Sequence[Outcome]) -> Iterator[Finding]:
    """Read the slope of accuracy over average saturation, past 45%, of every problem.

    Args:
        outcomes: All trainings.

    Yields:
        One finding a problem and family.
    """
    of = grouped(_judged(outcomes), lambda each: (problem_of(each), kin(each).family))
    for group in of.values():
        high, note = _past(group)
        yield _FALLS.judged(
            _slope(high).estimate,
            high,
            group=label(group),
            statistic=f"slope of test accuracy over average saturation {_PAST}",
            lacks=_lacks(high),
            notes=[note],
        )


def steeper(outcomes: Sequence[Outcome]) -> Iterator[Finding]:
    """Compare those slopes of the harder problem with the easier one's, of one source of pictures.

    The problem of the most classes is compared with that of the fewest, and the one of the most
    clutter with that of the least.

    Args:
        outcomes: All trainings.

    Yields:
        One finding a pair and family.
    """
    related = grouped(_judged(outcomes), lambda each: (source(each), kin(each).family))
    for relatives in related.values():
        of = grouped(relatives, problem_of)
        for hard, easy in _pairs(list(of)):
            (harder, hard_note), (easier, easy_note) = _past(of[hard]), _past(of[easy])
            slopes = _slope(harder), _slope(easier)
            lacks = [_of(hard, _lacks(harder)), _of(easy, _lacks(easier))]
            models = ", ".join(dict.fromkeys(each.task.model for each in of[hard] + of[easy]))
            yield _STEEPER.judged(
                slope_difference(*slopes),
                [*harder, *easier],
                group=f"{hard} against {easy}, {models}",
                statistic=f"difference of the slopes {_PAST}",
                lacks="; ".join(filter(None, lacks)),
                unless=_rises(slopes[0]),
                notes=[
                    unequal([[*harder, *easier]]),
                    _chance(hard, easy),
                    _of(hard, hard_note),
                    _of(easy, easy_note),
                ],
            )


ACCURACIES = (
    _lower(looks=True, source="SA 3.4, Fig. 9, 13"),
    _lower(looks=False, source="SA 3.3, Fig. 5, 8"),
    falls,
    steeper,
)


def _judged(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if looks_at_all(each) and tells_classes(each)]


def _past(group: Sequence[Outcome]) -> tuple[list[Outcome], str]:
    found, note = known(group, SATURATION, ACCURACY)
    return [each for each in found if SATURATION.of(each) > HIGH_AVERAGE], note


def _slope(group: Sequence[Outcome]) -> Slope:
    return slope(
        [SATURATION.of(each) for each in group],
        [ACCURACY.of(each) for each in group],
        # An accuracy is known to one picture.
        resolution=max((ROUNDED / max(each.test_pictures, 1) for each in group), default=0.0),
    )


def _rises(harder: Slope) -> str:
    """Say that the harder problem's accuracy does not fall, so that it cannot fall faster."""
    value, low, high = harder.estimate
    if high < 0:
        return ""
    return f"the harder problem's own slope is {value:.3f} ({low:.3f} to {high:.3f}), no fall"


def _lacks(high: Sequence[Outcome]) -> str:
    networks = len({network(each) for each in high})
    repetitions = len({each.task.repetition for each in high})
    if networks < LEAST_VALUES or repetitions < LEAST_REPETITIONS:
        return f"{len(high)} trainings of {networks} networks {_PAST}"
    return ""


def _chance(hard: Problem, easy: Problem) -> str:
    if not hard.classes > easy.classes > 0:
        return ""
    shares = f"{1 / hard.classes:.0%} and {1 / easy.classes:.0%}"
    return f"guessing is right in {shares}, so that accuracy has further to fall on the harder one"


def _of(which: Problem, note: str) -> str:
    return note and f"{which}: {note}"


def _pairs(problems: Sequence[Problem]) -> list[tuple[Problem, Problem]]:
    """Pair the hardest with the easiest, of two that differ in one thing alone."""
    pairs = []
    for clutter in dict.fromkeys(each.clutter for each in problems):
        among = [each for each in problems if each.clutter == clutter]
        pairs += _ends(among, [each.classes for each in among])
    for key in dict.fromkeys((each.data, each.classes) for each in problems):
        among = [each for each in problems if (each.data, each.classes) == key]
        pairs += _ends(among, [each.clutter for each in among])
    return pairs


def _ends(problems: Sequence[Problem], levels: Sequence[float]) -> list[tuple[Problem, Problem]]:
    if min(levels) == max(levels):
        return []
    of = list(zip(problems, levels, strict=True))
    hard = [each for each, level in of if level == max(levels)]
    easy = [each for each, level in of if level == min(levels)]
    return list(itertools.product(hard, easy))
