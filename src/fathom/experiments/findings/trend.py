"""Claims that one number of a training rises, or falls, with another."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fathom.experiments.findings.finding import LEAST_VALUES, Claim, Finding
from fathom.experiments.findings.groups import groups, label
from fathom.experiments.findings.quantities import Quantity, epochs
from fathom.experiments.findings.rows import unequal
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import grouped
from fathom.experiments.statistics import rank_correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A claim about a rank correlation.

    Attributes:
        claim: About its sign.
        x: What is varied, or goes along.
        y: What follows.
        within: What trainings have in common that are compared with each other.
        applies: Whether a group's trainings can speak to the claim at all.
        axis: Of what there must be enough different ones, where that is not x itself.
        axis_name: What they are, in words.
        least_epochs: How long a training must be.
    """

    claim: Claim
    x: Quantity
    y: Quantity
    within: Callable[[Outcome], Hashable]
    applies: Callable[[Sequence[Outcome]], bool]
    axis: Callable[[Outcome], Hashable] | None = None
    axis_name: str = ""
    least_epochs: int = 1

    def __call__(self, outcomes: Sequence[Outcome]) -> Iterator[Finding]:
        """Read it of each group that can speak to it.

        Args:
            outcomes: All trainings.

        Yields:
            One finding a group.
        """
        for group in groups(outcomes):
            if self.applies(group):
                yield self._read(group)

    def _read(self, group: Sequence[Outcome]) -> Finding:
        finite, note = known(group, self.x, self.y)
        # A stratum in which x is the same throughout compares nothing.
        compared = [
            each
            for stratum in grouped(finite, self.within).values()
            if len({self.x.of(each) for each in stratum}) > 1
            for each in stratum
        ]
        used = compared or finite
        axis = self.axis or self.x.of
        values = len({axis(each) for each in used})
        x_name, y_name = self.x.name(group[0]), self.y.name(group[0])
        y = np.array([self.y.of(each) for each in used])
        length = min(map(epochs, group))
        lacks = ""
        if length < self.least_epochs:
            lacks = f"{length} of at least {self.least_epochs} epochs"
        elif values < LEAST_VALUES:
            lacks = f"{values} of at least {LEAST_VALUES} values of {self.axis_name or x_name}"
        elif np.ptp(y) == 0:
            lacks = f"{y_name} is the same in all"
        return self.claim.judged(
            rank_correlation(
                [self.x.of(each) for each in used], y, strata=[self.within(each) for each in used]
            ),
            used,
            group=label(group),
            statistic=f"Spearman's ρ of {x_name} and {y_name}",
            lacks=lacks,
            notes=[
                unequal(grouped(used, self.within).values())
                if self.x.of_rows or self.y.of_rows
                else "",
                note,
            ],
        )


def known(group: Sequence[Outcome], *quantities: Quantity) -> tuple[list[Outcome], str]:
    """Return the trainings whose numbers are finite, and a note on the others.

    Args:
        group: Trainings.
        quantities: What is asked for of each.
    """
    numbers = [[each.of(outcome) for each in quantities] for outcome in group]
    found = [each for each, of in zip(group, numbers, strict=True) if np.isfinite(of).all()]
    missing = len(group) - len(found)
    return found, f"{missing} left out, without a number" if missing else ""
