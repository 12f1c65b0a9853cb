"""Which snapshots of this process are not in their run yet, for what reads the run meanwhile."""

import weakref
from pathlib import Path

from fathom.background import Background

_FOLDERS: "weakref.WeakKeyDictionary[Background, Path]" = weakref.WeakKeyDictionary()


def track(background: Background, folder: Path | None) -> None:
    """Say what a background records into.

    Args:
        background: Of a monitor.
        folder: Of the run; None where there is none.
    """
    if folder is not None:
        _FOLDERS[background] = folder.resolve()


def wait_for_snapshots(folder: Path) -> None:
    """Wait until what this process has under way for a run is recorded.

    Args:
        folder: Of the run.
    """
    for background, own in list(_FOLDERS.items()):
        if own == folder.resolve():
            background.wait()
