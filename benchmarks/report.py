"""What a part of the benchmark found, as a table, and what that says of the goals."""

from collections.abc import Sequence
from dataclasses import dataclass

_GOALS = "fathom has set itself these; a goal that was missed stays in the table."


@dataclass(frozen=True)
class Goal:
    """A bound that a figure should keep."""

    claim: str
    found: float | None
    limit: float
    digits: int = 2
    is_least: bool = False

    @property
    def mark(self) -> str:
        """Met or missed, as the figures say."""
        if self.found is None:
            return "not measured"
        kept = self.found >= self.limit if self.is_least else self.found <= self.limit
        return "met" if kept else "**missed**"

    @property
    def row(self) -> tuple[str, ...]:
        """A row of the table of goals."""
        found = "–" if self.found is None else f"{self.found:.{self.digits}f}"
        bound = "at least" if self.is_least else "at most"
        return self.claim, f"{bound} {self.limit:g}", found, self.mark


@dataclass(frozen=True)
class Section:
    """A table with what it needs to be understood."""

    title: str
    text: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    goals: Sequence[Goal] = ()

    @property
    def markdown(self) -> str:
        """The section as text."""
        return f"## {self.title}\n\n{self.text}\n\n{table(self.columns, self.rows)}"


def table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(head: str, sections: Sequence[Section]) -> str:
    """Return the whole of the results: the goals first, then every table."""
    goals = [goal.row for section in sections for goal in section.goals]
    summary = table(("goal", "bound", "found", ""), goals)
    body = "\n\n".join(section.markdown for section in sections)
    return f"{head}\n\n## Goals\n\n{_GOALS}\n\n{summary}\n\n{body}\n"
