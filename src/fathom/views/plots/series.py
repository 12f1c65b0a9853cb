"""What is laid over each other: steps of runs, each with a line that tells it from the others."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fathom.errors import ArgumentError, choose, whole_number
from fathom.reading import PHASES
from fathom.snapshot import Snapshot
from fathom.store.stored import StoredRun
from fathom.views.look import Look
from fathom.views.plots.names import run_names

MOST = 14
"""Lines in one plot: more are not told apart."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "p")
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
        label: What tells it from the others; empty where there is one.
        style: Its line.
    """

    run: StoredRun
    step: int
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
    pairs = itertools.product(_DASHES, zip(look.series, _MARKERS, strict=True))
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
        (run, step)
        for run in runs
        for step in ([run.snapshot().step] if wanted is None else wanted)
    ]
    if not 0 < len(pairs) <= MOST:
        raise ArgumentError(
            f"{where}: runs times steps must be 1 to {MOST}, got {len(pairs)}. "
            "evolution() shows every step."
        )
    names = run_names([run.path for run in runs])
    called = {id(run): name for run, name in zip(runs, names, strict=True)}
    several_steps = len({step for _, step in pairs}) > 1
    return [
        Series(
            run,
            step,
            ", ".join(
                part
                for part in (
                    called[id(run)] if len(runs) > 1 else "",
                    f"step {step}" if several_steps else "",
                )
                if part
            ),
            style,
        )
        for (run, step), style in zip(pairs, styles(look, len(pairs)), strict=True)
    ]


def shared_title(series: Sequence[Series]) -> tuple[str, str]:
    """Return the run and the step that all series have in common; else an empty text."""
    runs = {id(each.run): each.run for each in series}
    names = run_names([run.path for run in runs.values()])
    steps = {each.step for each in series}
    return (
        names[0] if len(names) == 1 else "",
        f"step {next(iter(steps))}" if len(steps) == 1 else "",
    )


def phase_of(phase: str | None, snapshots: Iterable[Snapshot], *, where: str) -> str:
    """Return the phase that is shown: unasked eval, or where only train was observed that.

    Args:
        phase: What was asked for.
        snapshots: Of what is shown.
        where: The function, for the message.

    Returns:
        `train` or `eval`.

    Raises:
        ArgumentError: If there is no such phase.
    """
    if phase is not None:
        choose(phase, PHASES, where=f"{where}: phase")
        return phase
    usual = {snapshot.usual_phase for snapshot in snapshots}
    return "train" if usual == {"train"} else "eval"


def threshold_words(runs: Iterable[StoredRun], threshold: float | None) -> str:
    """Say the threshold that numbers are at: the given one, or that of the runs."""
    recorded = {run.facts.get("settings", {}).get("threshold") for run in runs}
    values = recorded if threshold is None else {threshold}
    known = [value for value in values if isinstance(value, int | float)]
    return f"threshold {known[0]:g}" if len(known) == len(values) == 1 else ""


def _whole(steps: int | Iterable[int], *, where: str) -> list[int]:
    some = steps if isinstance(steps, Iterable) else [steps]
    return list(dict.fromkeys(whole_number(step, where=f"{where}: steps") for step in some))
