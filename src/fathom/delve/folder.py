"""What lies at `savefile`: Delve's files, and a run of fathom beside them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

from torch import nn

from fathom.delve.writers.written import RUN, Written
from fathom.errors import ArgumentError, warn
from fathom.store.removal import remove_run
from fathom.store.schema import DATABASE


class Tracker(Protocol):
    """What has the place of its savefile while it is open."""

    @property
    def closed(self) -> bool:
        """Whether it has given the place up."""

    def close(self) -> None:
        """Give the place up."""


_OPEN: "WeakValueDictionary[tuple[int, str], Tracker]" = WeakValueDictionary()


def close_earlier(savefile: str) -> None:
    """Close the tracker that this process has open at a place.

    A cell of a notebook that runs again leaves one: its name is bound until the new one is made.

    Args:
        savefile: The place.
    """
    earlier = _OPEN.get(_place(savefile))
    if earlier is not None and not earlier.closed:
        warn(
            f"fathom.delve: an earlier tracker of this process at {savefile!r} is closed, as "
            "another one begins there. Call its close() first, or pass another savefile."
        )
        earlier.close()


def take_place(savefile: str, tracker: Tracker) -> None:
    """Say which tracker has a place from now on.

    Args:
        savefile: The place.
        tracker: Held weakly.
    """
    _OPEN[_place(savefile)] = tracker


def _place(savefile: str) -> tuple[int, str]:
    # A forked child has what its parent has open, which is not the child's to close.
    return os.getpid(), os.path.realpath(savefile)


def run_folders(
    savefile: str, roots: Sequence[nn.Module], watched: Sequence[nn.Module], *, initial_epoch: int
) -> list[dict[str, Any]]:
    """Say where the runs lie.

    Args:
        savefile: The tracker's folder.
        roots: The modules that were given to it.
        watched: Those of them with a layer to watch, each with a run.
        initial_epoch: 0 to begin anew, else that to go on at.

    Returns:
        Of each the arguments of `fathom.watch` that name its run: of several, with the place in the
        list and the class, as Delve names a layer in a list.
    """
    own = Path(savefile, RUN)
    runs = [own / f"Module-{roots.index(root)}-{type(root).__name__}" for root in watched]
    if len(runs) == 1:
        runs = [own]
    return [
        {"run": run, "resume_from": initial_epoch}
        if initial_epoch and (run / DATABASE).exists()
        else {"run": run}
        for run in runs
    ]


def prepare(savefile: str, *, initial_epoch: int) -> None:
    """Make the tracker's folder, without what an earlier one wrote from its first epoch on.

    Args:
        savefile: The folder; a table lies beside it.
        initial_epoch: 0 to begin anew, else that to go on at.

    Raises:
        ArgumentError: If what is there is not of a tracker of fathom's.
        RunBusyError: If another training writes there now.
    """
    folder = Path(savefile)
    own, written = folder / RUN, Written(savefile)
    runs = [path.parent for path in own.rglob(DATABASE)]
    if runs and not written.begun:
        raise ArgumentError(
            f"SaturationTracker: savefile must leave {own} to the tracker, got one with a run that "
            "no tracker recorded. Pass another savefile."
        )
    if initial_epoch and not runs:
        _refuse_others(folder, savefile)
    if not initial_epoch:
        for run in runs:
            remove_run(run)
    written.remove_from(initial_epoch)
    if not initial_epoch or not written.begun:
        written.begin()


def _refuse_others(folder: Path, savefile: str) -> None:
    pickle = folder / "epoch_counter.pkl"
    strange = [path for path in (pickle, Path(f"{savefile}.csv")) if path.exists()]
    if strange:
        raise ArgumentError(
            "SaturationTracker: savefile must hold what fathom.delve wrote, to go on with it, got "
            f"{savefile!r} with {strange[0].name} and without {RUN}/{DATABASE}. Numbers of the "
            "Delve package (of the last batch, k - 1) do not go on with these, and its pickle is "
            "never read. Pass another savefile, or initial_epoch=0 to begin anew."
        )
