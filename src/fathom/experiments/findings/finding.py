"""What a finding is, and when its claim holds."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fathom.experiments.outcome import Outcome
from fathom.experiments.statistics import Estimate
from fathom.views.numbers import number

HOLDS, FAILS, OPEN = "holds", "does not hold", "not enough data"
LEAST_REPETITIONS, LEAST_VALUES = 3, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A claim, and what the trainings say of it.

    Attributes:
        claim: A sentence.
        source: Where it is made, such as `SA 3.2, Fig. 2`.
        group: What it was read on, such as `digits, vgg16`.
        statistic: In words.
        value: Of the statistic; NaN where it is not defined.
        low: The lower end of its 95% interval, or NaN.
        high: The upper end, or NaN.
        trainings: How many it rests on.
        repetitions: How many different ones these are.
        verdict: `holds`, `does not hold` or `not enough data`.
        note: What else is to be known; "" for nothing.
    """

    claim: str
    source: str
    group: str
    statistic: str
    value: float
    low: float
    high: float
    trainings: int
    repetitions: int
    verdict: str
    note: str = ""

    def to_body(self) -> dict[str, Any]:
        """Return it as JSON can hold it: None for what is not finite."""
        numbers = {name: number(getattr(self, name)) for name in ("value", "low", "high")}
        return {**asdict(self), **numbers}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is claimed of a number.

    Attributes:
        text: A sentence.
        source: Where it is made.
        above: Whether the number is claimed to lie above the bound, or below it.
        bound: Where the claim ends.
    """

    text: str
    source: str
    above: bool
    bound: float = 0.0

    def judged(
        self,
        estimate: Estimate,
        trainings: Sequence[Outcome],
        *,
        group: str,
        statistic: str,
        lacks: str = "",
        unless: str = "",
        notes: Sequence[str] = (),
    ) -> Finding:
        """Return the finding.

        Args:
            estimate: The number with its interval.
            trainings: It rests on these.
            group: What they are of.
            statistic: What the number is.
            lacks: Why it cannot be judged, besides what is seen from the number; "" for nothing.
            unless: What else the claim takes and is not so, whatever side the number is on; "" for
                nothing.
            notes: What else is to be known; empty ones are dropped.
        """
        repetitions = len({each.task.repetition for each in trainings})
        if repetitions < LEAST_REPETITIONS:
            few = f"{repetitions} of at least {LEAST_REPETITIONS} repetitions"
            lacks = f"{few}; {lacks}" if lacks else few
        elif not lacks and not math.isfinite(estimate.low):
            lacks = "too few numbers, or all of them alike"
        verdict, why = (OPEN, lacks) if lacks else self._verdict(estimate, unless)
        return Finding(
            claim=self.text,
            source=self.source,
            group=group,
            statistic=statistic,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            trainings=len(trainings),
            repetitions=repetitions,
            verdict=verdict,
            note="; ".join(each for each in (why, *notes) if each),
        )

    def _verdict(self, estimate: Estimate, unless: str) -> tuple[str, str]:
        sign = 1 if self.above else -1
        near, far = sorted(sign * (end - self.bound) for end in (estimate.low, estimate.high))
        if near > 0:
            return (FAILS, unless) if unless else (HOLDS, "")
        both = f"the interval includes {self.bound:g}"
        return FAILS, "the other way round" if far < 0 else both
