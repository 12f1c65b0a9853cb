"""Where a run keeps what was found, checked before the work begins."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fathom.errors import ArgumentError, RunError, warn, whole_number
from fathom.store.analyses import can_be_a_name, write_analysis
from fathom.store.stored import StoredRun
from fathom.underway import wait_for_snapshots

Given = StoredRun | str | os.PathLike[str]
"""An open run, or the folder of one."""


class Place(NamedTuple):
    """A run's folder, and a name in it."""

    folder: Path
    name: str


def folder_of(run: Given, *, where: str) -> Path:
    """Return the folder of a run that is to keep something.

    Args:
        run: An open run, or the folder of one.
        where: The function, for messages.

    Returns:
        The folder.

    Raises:
        ArgumentError: If it is neither.
        RunNotFoundError: If there is no run.
    """
    if isinstance(run, StoredRun):
        return run.path
    if not isinstance(run, str | os.PathLike):
        raise ArgumentError(
            f"{where}: run must be a run or its folder, got {run!r}. Pass fathom.open_run(folder)."
        )
    folder = Path(run)
    StoredRun(folder).close()
    return folder


def step_in(run: Given | None, step: int | None, *, where: str, needed: bool = True) -> int | None:
    """Return the step under which a run keeps something.

    Args:
        run: As of `folder_of`; None where nothing is kept.
        step: What was asked for; None for the run's last.
        where: The function, for messages.
        needed: Whether there has to be one, of a run.

    Returns:
        The step; None where nobody named one and there is no run, or none in it that is needed.

    Raises:
        ArgumentError: If it is no step, or the run has none and nobody named one.
        RunNotFoundError: If there is no run.
    """
    if step is not None:
        return whole_number(step, where=f"{where}: step")
    if run is None:
        return None
    folder = folder_of(run, where=where)
    wait_for_snapshots(folder)
    with StoredRun(folder) as opened:
        steps = opened.steps
        if not steps and not needed:
            return None
        if not steps:
            raise ArgumentError(
                f"{where}: step must be given for a run without steps, got {opened.path}. "
                "Pass step=0."
            )
    return steps[-1]


def place_in(run: Given, name: str, *, where: str) -> Place:
    """Return where a run is to keep something.

    Args:
        run: An open run, or the folder of one.
        name: Which of its kind.
        where: The function, for messages.

    Returns:
        The place.

    Raises:
        ArgumentError: If no file can have that name, or the run is none.
        RunNotFoundError: If there is no run.
    """
    if not can_be_a_name(name):
        raise ArgumentError(
            f"{where}: name must be of letters, digits, '.', '_' and '-', at most 200, got "
            f"{name!r}."
        )
    return Place(folder_of(run, where=where), name)


def keep(place: Place, kind: str, body: Mapping[str, Any]) -> None:
    """Write what was found; warn where it cannot be written, as it took long to find.

    Args:
        place: Where.
        kind: What it is.
        body: What JSON can hold.
    """
    try:
        write_analysis(place.folder, kind, place.name, body)
    except RunError as error:
        warn(str(error))
