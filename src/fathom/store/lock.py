"""One writer a run."""

from pathlib import Path

from filelock import FileLock, Timeout

from fathom.errors import RunBusyError

LOCK = "writer.lock"


def writer_lock(folder: Path) -> FileLock:
    """Take the lock that the writer of a run holds.

    Args:
        folder: The run's folder, which exists.

    Returns:
        The lock, held.

    Raises:
        RunBusyError: If another training holds it.
    """
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunBusyError(
            f"run: {folder} must be written by one training at a time, got one that another writes "
            "now. Close that one, or pass another path; of several ranks, give one the path."
        ) from error
    return lock
