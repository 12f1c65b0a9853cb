"""Which runs lie below a folder; what is outside of it is never opened, and never told of."""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from fathom.store.lock import LOCK
from fathom.store.schema import DATABASE

DEPTH = 5
"""How many folders deep runs are looked for."""

MOST_FOLDERS = 10_000
"""How many folders are looked into: a page is no place to search a whole disk from."""

MOST_RUNS = 1000
"""How many runs are listed: of more the newest."""

_LONGEST_NAME = 1000
_JOURNALS = tuple(f"{DATABASE}-{kind}" for kind in ("wal", "shm", "journal"))


@dataclass(frozen=True, slots=True)
class Found:
    """What one search of a root has found.

    Attributes:
        names: Of the runs, sorted: relative to the root, with slashes. A name may be one that
            `fault` finds fault with.
        left_out: Whether there are, or may be, runs that the limits leave out.
    """

    names: list[str]
    left_out: bool
    _root: Path | None
    _title: str

    def find(self, name: str) -> Path | None:
        """Return what `Root.find` does, of the root as it was when it was searched.

        Args:
            name: One of `names`.

        Returns:
            Its real path, looked up anew; None where there is no such run.
        """
        return None if self._root is None else _find(name, self._root, self._title)


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
        root = self._resolved()
        return None if root is None else _find(name, root, self.title)

    def search(self) -> Found:
        """Search for runs; links and hidden folders are passed over.

        Returns:
            What is there now.
        """
        root, title = self._resolved(), self.title
        if root is None:
            return Found([], left_out=False, _root=None, _title=title)
        if _recorded(root) is not None:
            return Found([title], left_out=False, _root=root, _title=title)
        times, left_out = _search(root)
        names = sorted(times, key=lambda name: times[name], reverse=True)[:MOST_RUNS]
        left_out = left_out or len(names) < len(times)
        return Found(sorted(names), left_out=left_out, _root=root, _title=title)

    def _resolved(self) -> Path | None:
        try:
            return self.path.resolve(strict=True)
        except (OSError, RuntimeError):
            return None


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


def _find(name: str, root: Path, title: str) -> Path | None:
    """Return the folder of a run below a root that is a real path."""
    if fault(name) is not None:
        return None
    try:
        if _holds_run(root, root):
            return root if name == title else None
        folder = (root / name).resolve(strict=True)
        return folder if folder != root and _holds_run(folder, root) else None
    # Of a name that is too long, has a NUL, or goes round in a circle of links.
    except (OSError, RuntimeError, ValueError):
        return None


def _search(root: Path) -> tuple[dict[str, int], bool]:
    """Return when each run was last recorded, by name, and whether folders were left out.

    Those nearest to the root are looked into first.
    """
    times: dict[str, int] = {}
    pending, looked = deque([("", 0)]), 0
    while pending:
        prefix, depth = pending.popleft()
        for name in _children(root / prefix):
            if looked == MOST_FOLDERS:
                return times, True
            looked += 1
            path = f"{prefix}/{name}" if prefix else name
            time = _recorded(root / path)
            if time is not None:
                times[path] = time
            elif depth + 1 < DEPTH:
                pending.append((path, depth + 1))
    return times, False


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


def _recorded(folder: Path) -> int | None:
    """Return when the run in a folder was last written, in nanoseconds; None if there is none."""
    try:
        found = (folder / DATABASE).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns if S_ISREG(found.st_mode) else None


def _holds_run(folder: Path, root: Path) -> bool:
    """Tell whether a real path holds a run, and nothing that leads SQLite out of the root."""
    return (
        folder.is_relative_to(root)
        and _is_inside(folder / DATABASE, root) is True
        and all(_is_inside(folder / name, root) is not False for name in (LOCK, *_JOURNALS))
    )


def _is_inside(file: Path, root: Path) -> bool | None:
    """Tell whether this is a regular file inside the root: no pipe, which would wait for ever.

    Args:
        file: In a folder that is inside: only where it is a link is there a way to go.
        root: A real path.

    Returns:
        None where there is nothing.
    """
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return None
    if not S_ISLNK(mode):
        return S_ISREG(mode)
    try:
        real = file.resolve(strict=True)
    except FileNotFoundError:
        return False
    return real.is_relative_to(root) and real.is_file()
