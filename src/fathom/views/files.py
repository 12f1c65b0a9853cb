"""Files that a view writes: whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Write a file beside its place, and put it there when it is whole.

    Args:
        path: The file; a link stays a link, and what is there keeps its mode. What is no file, as
            /dev/stdout, is written as it is.

    Yields:
        Where to write.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    # A name that nobody can have taken before: in a folder of many it could lead elsewhere.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    unfinished = Path(name)
    try:
        os.close(handle)
        yield unfinished
        if path.exists():
            shutil.copymode(path, unfinished)
        else:
            unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _umask() -> int:
    """Return which permissions a new file is not given; asking means setting."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        for line in status.splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
