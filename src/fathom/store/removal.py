"""Remove a run, and nothing else."""

from contextlib import suppress
from pathlib import Path

from fathom.store.analyses import remove_analyses
from fathom.store.covariances import remove_kept
from fathom.store.lock import LOCK, writer_lock
from fathom.store.schema import DATABASE


def remove_run(folder: Path) -> None:
    """Remove the files of a run; other files in its folder stay, and so then does the folder.

    Args:
        folder: The run's folder.

    Raises:
        RunBusyError: If a training writes it now.
    """
    lock = writer_lock(folder)
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        remove_kept(folder)
        remove_analyses(folder)
        (folder / LOCK).unlink(missing_ok=True)
    finally:
        lock.release()
    with suppress(OSError):
        folder.rmdir()
