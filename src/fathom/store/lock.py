"""One writer a run."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fathom.errors import RunBusyError

try:
    import fcntl
except ImportError:  # of Unix alone
    fcntl = None  # type: ignore[assignment]

LOCK = "writer.lock"

# Whoever asks whether a run is written holds its lock for that moment.
_PATIENCE, _PAUSE = 0.1, 0.01


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
        lock.acquire(timeout=_PATIENCE, poll_interval=_PAUSE)
    except Timeout as error:
        raise RunBusyError(
            f"run: {folder} must be written by one training at a time, got one that another writes "
            "now. Close that one, or pass another path; of several ranks, give one the path."
        ) from error
    return lock


def is_written(folder: Path) -> bool:
    """Tell whether a training writes a run now.

    Args:
        folder: The run's folder, which need not be writable.

    Returns:
        As `is_held` says of its lock.
    """
    return is_held(folder / LOCK)


def is_held(lock: Path) -> bool:
    """Tell whether a process holds a lock; never, where there is no way to ask (Windows).

    Args:
        lock: The file, which need not be there.

    Returns:
        False too of a process that was killed: its lock went with it. False where the file may not
        be read, and where the file system knows no locks.
    """
    if fcntl is None:
        return False
    with suppress(OSError), lock.open("rb") as file:
        try:
            # Closing the file gives it back.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
