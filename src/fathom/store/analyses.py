"""What was found about a run beside its snapshots: one small JSON file each, whole or not at all.

A file each, and not a table of the run, so that a model can be probed while its training still
writes the run, and after it, when nobody opens the run for writing any more.
"""

import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from fathom.errors import RunError
from fathom.store.schema import DATABASE

FOLDER = "analyses"
_MOST_BYTES = 64 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_END = ".json"
# Of a link nothing is read, and a pipe is not waited for; not every system knows these.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_OF_STEP = re.compile(r"step(-?[0-9]{1,19})(-.*)?")


class AnalysisFile(NamedTuple):
    """A file as it is now: another one whenever what is in it may be.

    Attributes:
        path: Where it lies.
        size: In bytes.
        time: When it was written, in nanoseconds.
        place: On its disk.
    """

    path: Path
    size: int
    time: int
    place: int


def can_be_a_name(name: object) -> bool:
    """Tell whether a file of the store can have a name.

    Args:
        name: Any.

    Returns:
        Whether it is text of letters, digits, `.`, `_` and `-`, at most 200 of them.
    """
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def step_in(name: str) -> int | None:
    """Return the step that a name says what was found is of.

    Args:
        name: Such as `step9`, or `step9-legacy`.

    Returns:
        The step; None of any other name.
    """
    match = _OF_STEP.fullmatch(name)
    return int(match[1]) if match else None


def write_analysis(folder: Path, kind: str, name: str, body: Mapping[str, Any]) -> Path:
    """Write what was found, in place of what has the same name.

    Args:
        folder: The run's folder; the run may be written by others meanwhile.
        kind: What it is, such as `probes`.
        name: Which of its kind, of letters, digits, `.`, `_` and `-`.
        body: What JSON can hold, nan included.

    Returns:
        The file.

    Raises:
        RunError: If the folder holds no run, or nothing can be written there.
    """
    assert can_be_a_name(name), name
    if not (folder / DATABASE).is_file():
        raise RunError(
            f"{kind}: run must be the folder of a run, got {folder}, which holds none. Give the "
            "folder that fathom.watch recorded into."
        )
    text = json.dumps(body)
    path = folder / FOLDER / kind / f"{name}{_END}"
    if _is_led_away(path.parent):
        raise RunError(
            f"{kind}: run must keep what is found in folders of its own, got a link at "
            f"{path.parent}, which is never followed. Put a folder in its place."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps({"checksum": zlib.crc32(text.encode()), "body": text}))
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).chmod((folder / DATABASE).stat().st_mode & 0o666)
            Path(unfinished).replace(path)
        finally:
            Path(unfinished).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"{kind}: run must be a folder that can be written, got {folder}: {error}. "
            "Leave run out to get the numbers alone."
        ) from error
    return path


def analysis_times(folder: Path, kinds: Iterable[str]) -> tuple[tuple[int, int] | None, ...]:
    """Look when analyses were last written or removed, at a few folders alone.

    Args:
        folder: The run's folder.
        kinds: What they are.

    Returns:
        Other numbers, some time after anything was; None for a folder that is not there.
    """
    found: list[tuple[int, int] | None] = []
    for place in (folder / FOLDER, *(folder / FOLDER / kind for kind in kinds)):
        try:
            status = place.lstat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_mtime_ns))
    return tuple(found)


def analysis_files(folder: Path, kind: str, *, most: int | None = None) -> dict[str, AnalysisFile]:
    """Look which analyses of a kind there are, without opening one.

    Args:
        folder: The run's folder.
        kind: What they are.
        most: How many files are looked at; None for all.

    Returns:
        By name, in order of the names. In a folder that is a link there are none: it could lead out
        of one that is served.
    """
    place = folder / FOLDER / kind
    found = {}
    with suppress(OSError):
        if not _is_led_away(place):
            with os.scandir(place) as entries:
                for entry in islice(entries, most):
                    name = entry.name.removesuffix(_END)
                    if name != entry.name and _NAME.fullmatch(name):
                        with suppress(OSError):
                            status = entry.stat(follow_symlinks=False)
                            found[name] = AnalysisFile(
                                place / entry.name,
                                status.st_size,
                                status.st_mtime_ns,
                                status.st_ino,
                            )
    return dict(sorted(found.items()))


def read_analysis(file: AnalysisFile, *, most: int = _MOST_BYTES) -> dict[str, Any] | None:
    """Read one.

    Args:
        file: Of `analysis_files`.
        most: Of a larger one, in bytes, nothing is read.

    Returns:
        Its body; None where it is not as it was written. Types inside are for the caller to check:
        anybody can make a file.
    """
    try:
        with os.fdopen(os.open(file.path, _READ), "rb") as opened:
            # A device never ends.
            if not S_ISREG(os.fstat(opened.fileno()).st_mode):
                return None
            content = opened.read(most + 1)
        if len(content) > most:
            return None
        sealed = json.loads(content)
        text = sealed["body"]
        if zlib.crc32(text.encode()) != sealed["checksum"]:
            return None
        body = json.loads(text)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def read_analyses(folder: Path, kind: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Read everything of one kind.

    Args:
        folder: The run's folder.
        kind: What it is.

    Returns:
        The bodies by name, in order of their names, and the names of those that are not as they
        were written. Types inside a body are for the caller to check: anybody can make a file.
    """
    files = analysis_files(folder, kind)
    bodies = {name: read_analysis(file) for name, file in files.items()}
    found = {name: body for name, body in bodies.items() if body is not None}
    return found, [name for name in files if name not in found]


def remove_analyses(folder: Path, *, from_step: int | None = None) -> None:
    """Remove what was found about a run.

    Args:
        folder: The run's folder.
        from_step: What is of this step or a later one, by its name; None for everything, and the
            folders where nothing else is in them.
    """
    for place in (folder / FOLDER).glob("*/"):
        # A link could lead out of the run.
        if _is_led_away(place):
            continue
        for path in place.glob("*.json"):
            step = step_in(path.stem)
            if from_step is None or (step is not None and step >= from_step):
                path.unlink()
        if from_step is None:
            with suppress(OSError):
                place.rmdir()
    if from_step is None:
        with suppress(OSError):
            (folder / FOLDER).rmdir()


def _is_led_away(place: Path) -> bool:
    return place.is_symlink() or place.parent.is_symlink()
