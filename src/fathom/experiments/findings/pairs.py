"""Claims that a number of one training is above, or below, that of another which is like it."""

from collections.abc import Callable, Hashable, Sequence

from fathom.experiments.findings.finding import Claim, Finding
from fathom.experiments.findings.groups import label
from fathom.experiments.findings.quantities import Quantity
from fathom.experiments.findings.rows import unequal
from fathom.experiments.findings.trend import known
from fathom.experiments.outcome import Outcome
from fathom.experiments.statistics import mean


def paired(
    claim: Claim,
    first: Sequence[Outcome],
    second: Sequence[Outcome],
    *,
    of: Quantity,
    key: Callable[[Outcome], Hashable],
    statistic: str,
) -> Finding:
    """Judge the mean difference, first minus second, over pairs that are alike in `key`.

    Args:
        claim: About the difference.
        first: Trainings, at most one of a key.
        second: The others.
        of: What is compared.
        key: What makes a pair.
        statistic: What the difference is, in words.

    Returns:
        On the trainings that have their other, with Student's interval over the pairs.
    """
    (found, note), (others, other_note) = known(first, of), known(second, of)
    partner = {key(each): each for each in others}
    pairs = [(each, partner[key(each)]) for each in found if key(each) in partner]
    return claim.judged(
        mean([of.of(a) - of.of(b) for a, b in pairs]),
        [each for pair in pairs for each in pair],
        group=label([*first, *second]),
        statistic=f"mean difference of {of.name(first[0])}, {statistic}",
        notes=[f"{len(pairs)} pairs", unequal(pairs) if of.of_rows else "", note, other_note],
    )
