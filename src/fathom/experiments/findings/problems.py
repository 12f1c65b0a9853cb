"""The problem: fewer classes and less clutter lower saturation (SA 3.5, EP), and raise accuracy."""

from collections.abc import Callable, Hashable, Iterator, Sequence

from fathom.experiments.findings.finding import Claim, Finding
from fathom.experiments.findings.groups import kin, source, tells_classes
from fathom.experiments.findings.pairs import paired
from fathom.experiments.findings.quantities import ACCURACY, CLASSES, CLUTTER, SATURATION, Quantity
from fathom.experiments.findings.trend import Trend
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import grouped

_EASIER = Claim(
    text="A part of the classes saturates the same network less than all of them.",
    source="SA 3.5, Fig. 10; EP",
    above=True,
)


def parts(outcomes: Sequence[Outcome]) -> Iterator[Finding]:
    """Compare a data set with others that are some of its classes, such as `seven-vs-nine`.

    Args:
        outcomes: All trainings.

    Yields:
        One finding a pair of data sets and family of networks.
    """
    told = [each for each in outcomes if tells_classes(each)]
    for relatives in grouped(told, lambda each: (source(each), kin(each).family)).values():
        whole = [
            each
            for each in relatives
            if each.task.data == source(each) and each.task.classes is None
        ]
        most = max((CLASSES.of(each) for each in whole), default=0)
        fewer = [
            each for each in relatives if each.task.data != source(each) and CLASSES.of(each) < most
        ]
        for part in grouped(fewer, lambda each: each.task.data).values():
            yield paired(
                _EASIER,
                whole,
                part,
                of=SATURATION,
                key=_network_and_clutter,
                statistic="all classes minus a part",
            )


def _network_and_clutter(outcome: Outcome) -> tuple[Hashable, ...]:
    task = outcome.task
    return task.model, task.width, task.repetition, task.clutter


def _network_and_classes(outcome: Outcome) -> Hashable:
    task = outcome.task
    return task.model, task.width, task.repetition, CLASSES.of(outcome)


def _varied(x: Quantity, y: Quantity) -> Callable[[Sequence[Outcome]], bool]:
    tells = x is CLASSES or y is ACCURACY

    def applies(group: Sequence[Outcome]) -> bool:
        return (tells_classes(group[0]) or not tells) and len({x.of(each) for each in group}) > 1

    return applies


def _trend(
    text: str,
    where: str,
    x: Quantity,
    y: Quantity,
    within: Callable[[Outcome], Hashable],
    *,
    above: bool,
) -> Trend:
    claim = Claim(text=text, source=where, above=above)
    return Trend(claim=claim, x=x, y=y, within=within, applies=_varied(x, y))


PROBLEMS = (
    _trend(
        "Fewer classes saturate the same network less.",
        "SA 3.5, Fig. 10; EP",
        CLASSES,
        SATURATION,
        _network_and_clutter,
        above=True,
    ),
    parts,
    _trend(
        "More clutter saturates the same network more.",
        "EP",
        CLUTTER,
        SATURATION,
        _network_and_classes,
        above=True,
    ),
    _trend(
        "More classes lower the test accuracy of the same network.",
        "EP",
        CLASSES,
        ACCURACY,
        _network_and_clutter,
        above=False,
    ),
    _trend(
        "More clutter lowers the test accuracy of the same network.",
        "EP",
        CLUTTER,
        ACCURACY,
        _network_and_classes,
        above=False,
    ),
)
