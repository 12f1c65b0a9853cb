"""What is laid over each other: steps of runs, each with a line that tells it from the others."""

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fathom.errors import ArgumentError, choose, whole_number
from fathom.reading import PHASES
from fathom.snapshot import Snapshot
from fathom.store.stored import StoredRun
from fathom.views.look import Look
from fathom.views.names import run_labels

MOST = 14
"""Lines in one plot: more are not told apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "p")
_DASHES: tuple[Literal["-", "--"], ...] = ("-", "--")


@dataclass(frozen=True, slots=True)
class Style:
    """How a line looks: no two in a plot have the same colour, marker and dashes."""

    colour: str
    marker: str
    dashes: Literal["-", "--"]


@dataclass(frozen=True, slots=True)
class Series:
    """One run at one step.

    Attributes:
        run: The run.
        step: A recorded step.
        name: What the run is called.
        label: What tells it from the others; empty where there is one.
        style: Its line.
    """

    run: StoredRun
    step: int
    name: str
    label: str
    style: Style


def styles(look: Look, count: int) -> list[Style]:
    """Return as many styles.

    Args:
        look: The colours.
        count: At most `MOST`.

    Returns:
        The styles: the colours, and once they are used up the same with dashes.
    """
    pairs = itertools.product(_DASHES, zip(look.series, MARKERS, strict=True))
    some = itertools.islice(pairs, count)
    return [Style(colour, marker, dashes) for dashes, (colour, marker) in some]


def series_of(
    runs: Sequence[StoredRun], steps: int | Iterable[int] | None, *, look: Look, where: str
) -> list[Series]:
    """Return every run at every step that was asked for.

    Args:
        runs: At least one.
        steps: Recorded steps; None for the last of each run.
        look: The colours.
        where: The function, for messages.

    Returns:
        The series, by run and step.

    Raises:
        ArgumentError: If a step is no whole number, or there are more than `MOST`.
        RunNotFoundError: If a run is empty.
    """
    wanted = None if steps is None else _whole(steps, where=where)
    pairs = [
        (run, name, step)
        for run, name in zip(runs, run_labels([run.path for run in runs]), strict=True)
        for step in ([run.snapshot().step] if wanted is None else wanted)
    ]
    if not 0 < len(pairs) <= MOST:
        raise ArgumentError(
            f"{where}: runs times steps must be 1 to {MOST}, got {len(pairs)}. "
            "evolution() shows every step."
        )
    several_steps = len({step for *_, step in pairs}) > 1
    return [
        Series(
            run,
            step,
            name,
            ", ".join(
                part
                for part in (
                    name if len(runs) > 1 else "",
                    f"step {step}" if several_steps else "",
                )
                if part
            ),
            style,
        )
        for (run, name, step), style in zip(pairs, styles(look, len(pairs)), strict=True)
    ]


def shared_title(series: Sequence[Series]) -> tuple[str, str]:
    """Return the run and the step that all series have in common; else an empty text."""
    names = {each.name for each in series}
    steps = {each.step for each in series}
    return (
        next(iter(names)) if len(names) == 1 else "",
        f"step {next(iter(steps))}" if len(steps) == 1 else "",
    )


def phase_of(phase: str | None, observed: Collection[str], *, where: str) -> str:
    """Return the phase that is shown: unasked eval, or where only train was observed that.

    Args:
        phase: What was asked for.
        observed: The phases that the last step of what is shown has readings of.
        where: The function, for the message.

    Returns:
        `train` or `eval`.

    Raises:
        ArgumentError: If there is no such phase.
    """
    if phase is not None:
        choose(phase, PHASES, where=f"{where}: phase")
        return phase
    return "train" if "train" in observed and "eval" not in observed else "eval"


def observed_last(series: Sequence[Series], snapshots: Sequence[Snapshot]) -> set[str]:
    """Return the phases that the last step of any run has readings of.

    Args:
        series: What is shown.
        snapshots: Of each.
    """
    last: dict[str, Snapshot] = {}
    for each, snapshot in zip(series, snapshots, strict=True):
        if each.name not in last or snapshot.step > last[each.name].step:
            last[each.name] = snapshot
    return {phase for snapshot in last.values() for phase in PHASES if snapshot.phase(phase)}


def threshold_words(runs: Iterable[StoredRun], threshold: float | None) -> str:
    """Say the threshold that numbers are at: the given one, or that of the runs."""
    recorded = {run.facts.get("settings", {}).get("threshold") for run in runs}
    values = recorded if threshold is None else {threshold}
    known = [value for value in values if isinstance(value, int | float)]
    return f"threshold {known[0]:g}" if len(known) == len(values) == 1 else ""


def _whole(steps: int | Iterable[int], *, where: str) -> list[int]:
    some = steps if isinstance(steps, Iterable) else [steps]
    return list(dict.fromkeys(whole_number(step, where=f"{where}: steps") for step in some))


def layers_in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """Merge the layers of runs: what a later one adds stands behind what precedes it there.

    Args:
        lists: Of each run, in execution order.

    Returns:
        Every name once.
    """
    merged: list[str] = []
    for names in lists:
        place = 0 if {*names} & {*merged} else len(merged)
        for name in names:
            if name in merged:
                place = merged.index(name) + 1
            else:
                merged.insert(place, name)
                place += 1
    return merged
