"""What lies at `savefile`: Delve's files, and a run of fathom beside them."""

from pathlib import Path
from typing import Any

from fathom.errors import ArgumentError
from fathom.store.removal import remove_run
from fathom.store.schema import DATABASE

RUN = "fathom"
"""The folder of the run, inside of that of the tracker."""

_MARK = "tracker.txt"


def run_folders(savefile: str, count: int, *, initial_epoch: int) -> list[dict[str, Any]]:
    """Say where the runs lie.

    Args:
        savefile: The tracker's folder.
        count: How many modules are watched, each with a run.
        initial_epoch: 0 to begin anew, else that to go on at.

    Returns:
        Of each the arguments of `fathom.watch` that name its run.
    """
    own = Path(savefile, RUN)
    runs = [own] if count == 1 else [own / str(place) for place in range(count)]
    return [
        {"run": run, "resume_from": initial_epoch}
        if initial_epoch and (run / DATABASE).exists()
        else {"run": run}
        for run in runs
    ]


def prepare(savefile: str, *, initial_epoch: int) -> None:
    """Make the tracker's folder, without the runs of an earlier one if it begins anew.

    Args:
        savefile: The folder; a table lies beside it.
        initial_epoch: 0 to begin anew, else that to go on at.

    Raises:
        ArgumentError: If what is there is not of a tracker of fathom's.
        RunBusyError: If another training writes there now.
    """
    folder = Path(savefile)
    own = folder / RUN
    runs = [path.parent for path in own.rglob(DATABASE)]
    if runs and not (own / _MARK).exists():
        raise ArgumentError(
            f"SaturationTracker: savefile must leave {own} to the tracker, got one with a run that "
            "no tracker recorded. Pass another savefile."
        )
    if initial_epoch and not runs:
        _refuse_others(folder, savefile)
    if not initial_epoch:
        for run in runs:
            remove_run(run)
    own.mkdir(parents=True, exist_ok=True)
    (own / _MARK).write_text(
        "The run of a fathom.delve.SaturationTracker: the next one at this savefile with "
        "initial_epoch=0 removes it.\n",
        encoding="utf-8",
    )


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
