"""The long tail: with width and depth (SA 3.5), and behind early downsampling (Delve's figures)."""

from collections.abc import Hashable, Iterator, Sequence

from fathom.experiments.curves import LEAST_LAYERS, pattern
from fathom.experiments.findings.finding import Claim, Finding
from fathom.experiments.findings.groups import kin, looks_at_all
from fathom.experiments.findings.pairs import paired
from fathom.experiments.findings.quantities import (
    DEPTH,
    TAIL,
    WIDTH,
    late_gain,
    late_saturation,
    named,
)
from fathom.experiments.findings.trend import Trend
from fathom.experiments.findings.widths import alike_but_width
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import grouped, problem_of

_STRIDE1 = "-stride1"
_LATE = named("saturation of the second half of the layers", late_saturation, of_rows=True)
_GAIN = named("the probes' gain over the second half of the layers", late_gain)

_LOWER = Claim(
    text="With its early downsampling the second half of a ResNet's layers is less saturated.",
    source="figures of the Delve project",
    above=False,
)
_FLAT = Claim(
    text="With its early downsampling probes gain less over the second half of a ResNet's layers.",
    source="figures of the Delve project",
    above=False,
)


def has_pattern(group: Sequence[Outcome]) -> bool:
    """Return whether networks have enough layers in a row, and none is looked at alone.

    Args:
        group: Trainings of one family.
    """
    return looks_at_all(group[0]) and any(len(pattern(each)) >= LEAST_LAYERS for each in group)


def downsampling(outcomes: Sequence[Outcome]) -> Iterator[Finding]:
    """Compare networks with their variants without the first two downsamplings.

    Args:
        outcomes: All trainings.

    Yields:
        For each data set and network the saturation of the second half of the layers, and how much
        probes gain there, where there are probes.
    """
    variants = [each for each in outcomes if kin(each).variant in ("", _STRIDE1)]
    for group in grouped(variants, lambda each: (each.task.data, kin(each)[:2])).values():
        with_it = [each for each in group if not kin(each).variant]
        without = [each for each in group if kin(each).variant]
        if not with_it or not without:
            continue
        for claim, quantity in ((_LOWER, _LATE), (_FLAT, _GAIN)):
            if quantity is _GAIN and not all(any(e.probes for e in s) for s in (with_it, without)):
                continue
            yield paired(
                claim,
                with_it,
                without,
                of=quantity,
                key=_alike_but_variant,
                statistic="with the downsampling minus without",
            )


TAILS = (
    Trend(
        claim=Claim(
            text="The tail of low saturation is a larger share of the layers in wider networks.",
            source="SA 3.5, Fig. 1, 11, 16",
            above=True,
        ),
        x=WIDTH,
        y=TAIL,
        within=alike_but_width,
        applies=has_pattern,
    ),
    Trend(
        claim=Claim(
            text="The tail of low saturation is a larger share of the layers in deeper networks.",
            source="SA 3.5, Fig. 1, 11, 16",
            above=True,
        ),
        x=DEPTH,
        y=TAIL,
        within=lambda outcome: (*_alike_but_variant(outcome), kin(outcome).variant),
        applies=lambda group: has_pattern(group) and len({DEPTH.of(each) for each in group}) > 1,
    ),
    downsampling,
)


def _alike_but_variant(outcome: Outcome) -> tuple[Hashable, ...]:
    return problem_of(outcome), outcome.task.width, outcome.task.repetition
