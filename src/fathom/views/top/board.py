"""The layers of a run at one step and in one phase, as rows that can be sorted and filtered."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.listing import count_text, number_text
from fathom.reading import PHASES, LayerFacts
from fathom.store.summary import STATUSES
from fathom.text import visible
from fathom.views.top.history import History

UNREAD = "not read"
"""The status of a layer that has no reading at this step."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One layer.

    Attributes:
        facts: The layer.
        label: Its name, as it can be shown.
        width: nan where it is not known.
        dimension: nan where it is not known.
        at_least: A lower bound of it.
        saturation: nan where it is not known.
        change: Of the saturation since the first step that has one; nan where this is the first.
        trend: (steps,) its saturation up to this step.
        rows: That were read.
        samples: Independent items behind them.
        status: Of the reading, or `UNREAD`.
    """

    facts: LayerFacts
    label: str
    width: float
    dimension: float
    at_least: float
    saturation: float
    change: float
    trend: NDArray[np.float64]
    rows: float
    samples: float
    status: str

    @property
    def dimension_text(self) -> str:
        """The dimension, a lower bound of it, or a dash."""
        if not math.isfinite(self.dimension) and self.rows > 0 and self.at_least > 0:
            return f"> {self.at_least - 1:.0f}"
        return number_text(self.dimension, ".0f")

    @property
    def rows_text(self) -> str:
        """The rows per width, or a dash."""
        share = self.rows / self.width if self.width > 0 else math.nan
        return count_text(share) if math.isfinite(share) else "-"

    def matches(self, words: str) -> bool:
        """Tell whether every word is in the layer's name, kind or status.

        Args:
            words: With spaces between them.

        Returns:
            True where there is no word.
        """
        text = f"{self.label} {self.facts.kind} {self.status}".casefold()
        return all(word in text for word in words.casefold().split())


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "order": lambda row: 0,
    "name": lambda row: row.label,
    "width": lambda row: -row.width,
    "dimension": lambda row: -row.at_least,
    "saturation": lambda row: -row.saturation,
    "change": lambda row: -abs(row.change),
}
"""How rows can be ordered: numbers fall, a change by its size; equals stay in execution order."""


@dataclass(frozen=True, eq=False)
class Board:
    """One step of a run in one phase.

    Attributes:
        history: Of the run, with at least one step.
        place: Which of its steps.
        phase: `train` or `eval`.
    """

    history: History
    place: int
    phase: str

    @property
    def step(self) -> int:
        """The step."""
        return self.history.moments[self.place].step

    @property
    def is_newest(self) -> bool:
        """Whether no later step is recorded."""
        return self.place == len(self.history.moments) - 1

    @property
    def seen(self) -> bool:
        """Whether any layer has a reading here."""
        return bool(self.history.phases[self.phase].seen[self.place])

    @property
    def average(self) -> NDArray[np.float64]:
        """(steps,) the average saturation up to this step."""
        return self.history.phases[self.phase].average[: self.place + 1]

    @cached_property
    def rows(self) -> list[Row]:
        """Every layer that was observed in this phase up to this step, in execution order."""
        saturation = self.history.phases[self.phase].saturation[: self.place + 1]
        changes = changes_since_the_first(saturation)
        numbers = self.history.moments[self.place].numbers
        here = {
            int(each["layer"]): each
            for each in numbers[numbers["phase"] == PHASES.index(self.phase)]
        }
        rows = []
        for place, facts in enumerate(self.history.facts):
            trend, each = saturation[:, place], here.get(place)
            if each is None and not np.isfinite(trend).any():
                continue
            rows.append(
                Row(
                    facts=facts,
                    label=visible(facts.name) or "(model)",
                    width=float(facts.width or math.nan) if each is None else float(each["width"]),
                    dimension=math.nan if each is None else float(each["dimension"]),
                    at_least=math.nan if each is None else float(each["at_least"]),
                    saturation=float(trend[-1]),
                    change=float(changes[place]),
                    trend=trend,
                    rows=0.0 if each is None else float(each["rows"]),
                    samples=0.0 if each is None else float(each["samples"]),
                    status=UNREAD if each is None else _status(int(each["status"])),
                )
            )
        return rows

    def layers(self, *, sort: str = "order", turned: bool = False, words: str = "") -> list[Row]:
        """Return the rows that match, sorted.

        Args:
            sort: A key of `SORTS`.
            turned: The other way round; rows without the number are last all the same.
            words: As for `Row.matches`.
        """
        key, found = SORTS[sort], [row for row in self.rows if row.matches(words)]
        known = sorted((row for row in found if not _is_nan(key(row))), key=key)
        return [
            *(known[::-1] if turned else known),
            *(row for row in found if _is_nan(key(row))),
        ]

    def why_empty(self) -> str:
        """Say where there are readings, of a phase that has none here."""
        other = next(each for each in PHASES if each != self.phase)
        text = f"No layer was read in {self.phase} at step {self.step}."
        if self.history.phases[other].seen[self.place]:
            text += f" There are readings of {other}: press p."
        steps = np.flatnonzero(self.history.phases[self.phase].seen)
        if len(steps):
            nearest = steps[np.abs(steps - self.place).argmin()]
            text += (
                f" The nearest of {self.phase} are at step {self.history.moments[nearest].step}."
            )
        return text


def changes_since_the_first(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each column's last number is from its first that is known.

    Args:
        values: (steps, columns); nan where a number is not known.

    Returns:
        (columns,), nan where either is not known or both are the same.
    """
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    first = np.isfinite(values).argmax(axis=0)
    change = values[-1] - values[first, np.arange(values.shape[1])]
    return np.where(first < len(values) - 1, change, np.nan)


def usual_phase(history: History, *, before: str | None = None) -> str:
    """Return the phase that is shown unasked.

    Args:
        history: Of the run.
        before: The one that was shown; it stays while the last step has readings of it.

    Returns:
        `eval` where the last step has readings of it, and else `train`, if it has of that.
    """
    for phase in (before, "eval", "train"):
        if phase is not None and history.moments and history.phases[phase].seen[-1]:
            return phase
    return before or "eval"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _status(place: int) -> str:
    return STATUSES[place] if place < len(STATUSES) else "unknown"
