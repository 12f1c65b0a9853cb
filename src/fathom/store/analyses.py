"""What was found about a run beside its snapshots: one small JSON file each, whole or not at all.

A file each, and not a table of the run, so that a model can be probed while its training still
writes the run, and after it, when nobody opens the run for writing any more.
"""

import json
import os
import re
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fathom.errors import RunError
from fathom.store.schema import DATABASE

FOLDER = "analyses"
_MOST_BYTES = 64 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_OF_STEP = re.compile(r"step(-?[0-9]{1,19})(-.*)?")


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
    path = folder / FOLDER / kind / f"{name}.json"
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


def read_analyses(folder: Path, kind: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Read everything of one kind.

    Args:
        folder: The run's folder.
        kind: What it is.

    Returns:
        The bodies by name, in order of their names, and the names of those that are not as they
        were written. Types inside a body are for the caller to check: anybody can make a file.
    """
    found: dict[str, dict[str, Any]] = {}
    damaged = []
    place = folder / FOLDER / kind
    for path in sorted(place.glob("*.json")) if place.is_dir() else []:
        body = _body(path)
        if body is None:
            damaged.append(path.stem)
        else:
            found[path.stem] = body
    return found, damaged


def remove_analyses(folder: Path, *, from_step: int | None = None) -> None:
    """Remove what was found about a run.

    Args:
        folder: The run's folder.
        from_step: What is of this step or a later one, by its name; None for everything, and the
            folders where nothing else is in them.
    """
    for place in (folder / FOLDER).glob("*/"):
        # A link could lead out of the run.
        if place.is_symlink():
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


def _body(path: Path) -> dict[str, Any] | None:
    try:
        # A link could lead out of a folder that is served, and a device never ends.
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        sealed = json.loads(path.read_text(encoding="utf-8"))
        text = sealed["body"]
        if zlib.crc32(text.encode()) != sealed["checksum"]:
            return None
        body = json.loads(text)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
