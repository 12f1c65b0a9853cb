"""Findings as text: for a terminal, and in Markdown."""

import math
import re
from collections.abc import Sequence
from itertools import groupby

from fathom.experiments.findings.finding import Finding
from fathom.text import columns, visible

_NUMBERS = frozenset({1, 2, 3, 4})
_COLUMNS = ("verdict", "value", "95% interval", "trainings", "repetitions", "read on")


def as_text(findings: Sequence[Finding]) -> str:
    """Write findings for a terminal: each claim once, and under it a line for what it was read on.

    Args:
        findings: Of one or more claims.

    Returns:
        Lines without a last newline; one sentence where there are none.
    """
    if not findings:
        return "The trainings speak to none of the claims."
    lines = columns([_COLUMNS, *map(_cells, findings)], right=_NUMBERS).splitlines()
    rows = iter(lines[1:])
    said = [lines[0]]
    for (claim, source, statistic), group in groupby(findings, _head):
        said += ["", f"{claim} ({source})", f"  {visible(statistic)}"]
        for finding in group:
            said.append(next(rows))
            if finding.note:
                said.append(f"    {visible(finding.note)}")
    return "\n".join(said)


def as_markdown(findings: Sequence[Finding]) -> str:
    """Write findings as one table in Markdown.

    Args:
        findings: Of one or more claims.

    Returns:
        Lines without a last newline.
    """
    head = ("claim", "read on", "statistic, 95% interval", "trainings", "verdict")
    rows = [
        (
            f"{each.claim} ({each.source})",
            each.group,
            f"{each.statistic}: {_measured(each)}",
            f"{each.trainings}, {_repeated(each.repetitions)}",
            ": ".join(part for part in (each.verdict, each.note) if part),
        )
        for each in findings
    ]
    lines = [head, ("---",) * len(head), *(tuple(map(_escaped, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _measured(finding: Finding) -> str:
    _, value, interval, *_ = _cells(finding)
    return f"{value} ({interval})" if math.isfinite(finding.low) else value


def _repeated(count: int) -> str:
    return "once each" if count == 1 else f"{count} of each"


def _head(finding: Finding) -> tuple[str, str, str]:
    return finding.claim, finding.source, finding.statistic


def _cells(finding: Finding) -> tuple[str, ...]:
    interval = f"{_number(finding.low)} to {_number(finding.high)}"
    return (
        finding.verdict,
        _number(finding.value),
        interval if math.isfinite(finding.low) else "–",
        str(finding.trainings),
        str(finding.repetitions),
        finding.group,
    )


def _number(value: float) -> str:
    return f"{value:z.3f}" if math.isfinite(value) else "–"


def _escaped(cell: str) -> str:
    """Write a name so that Markdown takes it as text: it may be a path that a user gave."""
    return re.sub(r"([\\|`*_<\[\]])", r"\\\1", visible(cell))
