"""What lies at `savefile`: Delve's files, and a run of fathom beside them."""

from pathlib import Path
from typing import Any

from fathom.errors import ArgumentError
from fathom.store.removal import remove_run
from fathom.store.schema import DATABASE

RUN = "fathom"
"""The folder of the run, inside of that of the tracker."""


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
        ArgumentError: If there are files to go on with that are not fathom's.
        RunBusyError: If another training writes there now.
    """
    folder = Path(savefile)
    runs = [path.parent for path in (folder / RUN).rglob(DATABASE)]
    if initial_epoch and not runs:
        _refuse_others(folder, savefile)
    folder.mkdir(parents=True, exist_ok=True)
    if not initial_epoch:
        for run in runs:
            remove_run(run)


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
