"""Files that a view writes: whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
    path = path.resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        if path.exists():
            shutil.copymode(path, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
