"""Findings as text: for a terminal, and in Markdown."""

import math
import re
import textwrap
from collections.abc import Sequence
from itertools import groupby

from fathom.experiments.findings.finding import Finding
from fathom.text import columns, visible

_NUMBERS = frozenset({1, 2, 3, 4})
_COLUMNS = ("verdict", "value", "95% interval", "trainings", "repetitions")
_LAST = "read on"
_WIDTH = 100


def as_text(findings: Sequence[Finding], *, caution: str = "") -> str:
    """Write findings for a terminal: each claim once, and under it a line for what it was read on.

    Args:
        findings: Of one or more claims.
        caution: What is to be known of all of them, such as `rows.provisional`; "" for nothing.

    Returns:
        Lines without a last newline, of 100 characters where words allow it; one sentence where
        there are no findings.
    """
    if not findings:
        return "The trainings speak to none of the claims."
    head, *rows = columns([_COLUMNS, *map(_cells, findings)], right=_NUMBERS).splitlines()
    indent = " " * (len(head) + 2)
    lines = iter(rows)
    said = [f"{head}  {_LAST}"]
    for (claim, source, statistic), group in groupby(findings, _head):
        said += ["", *_lines(f"{claim} ({source})"), *_lines(statistic, indent="  ")]
        for finding in group:
            said += _lines(finding.group, first=f"{next(lines)}  ", indent=indent)
            said += _lines(finding.note, indent="    ")
    return "\n".join([*said, "", *_lines(caution)] if caution else said)


def as_markdown(findings: Sequence[Finding], *, caution: str = "") -> str:
    """Write findings as one table in Markdown.

    Args:
        findings: Of one or more claims.
        caution: What is to be known of all of them; a paragraph under the table; "" for nothing.

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
    table = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([*table, "", _escaped(caution)] if caution else table)


def _lines(text: str, *, first: str = "", indent: str = "") -> list[str]:
    """Break text between words, where it is longer than a line."""
    return textwrap.wrap(
        visible(text),
        _WIDTH,
        initial_indent=first or indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _measured(finding: Finding) -> str:
    _, value, interval, *_ = _cells(finding)
    return f"{value} ({interval})" if math.isfinite(finding.low) else value


def _repeated(count: int) -> str:
    return f"in {count} repetition{'s' * (count != 1)}"


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
    )


def _number(value: float) -> str:
    return f"{value:z.3f}" if math.isfinite(value) else "–"


def _escaped(cell: str) -> str:
    """Write a name so that Markdown takes it as text: it may be a path that a user gave."""
    return re.sub(r"([\\|`*_<\[\]])", r"\\\1", visible(cell))
