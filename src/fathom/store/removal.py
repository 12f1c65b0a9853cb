"""Remove a run, and nothing else."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fathom.errors import RunBusyError
from fathom.store.covariances import remove_kept
from fathom.store.schema import DATABASE
from fathom.store.writer import LOCK


def remove_run(folder: Path) -> None:
    """Remove the files of a run; other files in its folder stay, and so then does the folder.

    Args:
        folder: The run's folder.

    Raises:
        RunBusyError: If a training writes it now.
    """
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunBusyError(
            f"remove_run: run must be written by nobody, got {folder}, which a training writes now."
            " Wait for its end, or use another path."
        ) from error
    with lock:
        for suffix in ("", "-wal", "-shm", "-journal"):
            (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        remove_kept(folder)
        lock.release(force=True)
    (folder / LOCK).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
