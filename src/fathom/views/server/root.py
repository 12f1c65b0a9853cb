"""Which runs lie below a folder; what is outside of it is never opened, and never told of."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fathom.store.lock import LOCK
from fathom.store.schema import DATABASE

DEPTH = 5
"""How many folders deep runs are looked for."""

MOST_FOLDERS = 10_000
"""How many folders are looked into: a page is no place to search a whole disk from."""

MOST_RUNS = 1000
"""How many runs are listed."""

_LONGEST_NAME = 1000
_JOURNALS = tuple(f"{DATABASE}-{kind}" for kind in ("wal", "shm", "journal"))


@dataclass(frozen=True, slots=True)
class Root:
    """The folder that is served, which need not exist yet; it may be a single run's own.

    Attributes:
        path: As it was given, made absolute.
    """

    path: Path

    @property
    def title(self) -> str:
        """Its name, which is also that of its own run, if it is one."""
        return self.path.resolve().name or "runs"

    def find(self, name: str) -> Path | None:
        """Return the folder of a run, looked up anew: links may have been changed since.

        Args:
            name: Hostile text: relative to the root, with slashes.

        Returns:
            Its real path, which is inside the root as all of its files are; None where there is no
            such run, whatever else may be there.
        """
        if fault(name) is not None:
            return None
        try:
            root = self.path.resolve(strict=True)
            if _holds_run(root, root):
                return root if name == self.title else None
            folder = (root / name).resolve(strict=True)
            return folder if folder != root and _holds_run(folder, root) else None
        # Of a name that is too long, has a NUL, or goes round in a circle of links.
        except (OSError, RuntimeError, ValueError):
            return None

    def names(self) -> list[str]:
        """Return the names of the runs, sorted; links and hidden folders are passed over.

        Returns:
            Relative to the root, with slashes. A name may be one that `fault` finds fault with.
        """
        try:
            root = self.path.resolve(strict=True)
        except (OSError, RuntimeError):
            return []
        if _is_run(root):
            return [self.title]
        found: list[str] = []
        for name in _folders(root):
            found.append(name)
            if len(found) == MOST_RUNS:
                break
        return sorted(found)


def fault(name: str) -> str | None:
    """Say why a run of this name cannot be opened; None where nothing is wrong with it.

    Args:
        name: Of a run.

    Returns:
        One or two sentences.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return "The folder's name is not UTF-8. Rename it to open it here."
    # A separator on one system is a letter on another.
    if "\\" in name or "\0" in name:
        return "The folder's name has a backslash. Rename it to open it here."
    if len(name) > _LONGEST_NAME:
        return f"The folder's name is longer than {_LONGEST_NAME} characters. Move it up."
    if any(part in {"", ".", ".."} for part in name.split("/")):
        return "The name is no path below the folder that is served."
    return None


def _folders(root: Path) -> Iterator[str]:
    """Go through the folders that hold a run, those nearest to the root first."""
    pending, looked = deque([("", 0)]), 0
    while pending and looked < MOST_FOLDERS:
        prefix, depth = pending.popleft()
        looked += 1
        for name in _children(root / prefix):
            path = f"{prefix}/{name}" if prefix else name
            if _is_run(root / path):
                yield path
            elif depth + 1 < DEPTH:
                pending.append((path, depth + 1))


def _children(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    except OSError:
        return []


def _is_run(folder: Path) -> bool:
    try:
        return (folder / DATABASE).is_file()
    except (OSError, ValueError):
        return False


def _holds_run(folder: Path, root: Path) -> bool:
    """Tell whether a folder holds a run, and nothing that SQLite would follow out of the root."""
    return _is_inside(folder / DATABASE, root) and all(
        _is_inside(folder / name, root)
        for name in (LOCK, *_JOURNALS)
        if os.path.lexists(folder / name)
    )


def _is_inside(file: Path, root: Path) -> bool:
    """Tell whether this is a regular file inside the root: no pipe, which would wait for ever."""
    try:
        real = file.resolve(strict=True)
    except FileNotFoundError:
        return False
    return real.is_relative_to(root) and real.is_file()
