"""All claims, in the order of the papers, and what the trainings of an experiment say of them."""

from collections.abc import Callable, Iterator, Sequence

from fathom.experiments.findings.accuracies import ACCURACIES
from fathom.experiments.findings.finding import Finding
from fathom.experiments.findings.problems import PROBLEMS
from fathom.experiments.findings.tails import TAILS
from fathom.experiments.findings.training import TRAININGS
from fathom.experiments.findings.widths import WIDTHS
from fathom.experiments.outcome import Outcome

CLAIMS: tuple[Callable[[Sequence[Outcome]], Iterator[Finding]], ...] = (
    *WIDTHS,
    *ACCURACIES,
    *TAILS,
    *PROBLEMS,
    *TRAININGS,
)


def findings(outcomes: Sequence[Outcome]) -> list[Finding]:
    """Say of each claim that the trainings can speak to whether it holds.

    Args:
        outcomes: Of the trainings that are done, of one experiment or of several.

    Returns:
        Claim by claim; within one, data set by data set.
    """
    return [finding for claim in CLAIMS for finding in claim(outcomes)]
