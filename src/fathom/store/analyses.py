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
from pathlib import Path
from typing import Any

from fathom.errors import RunError
from fathom.store.schema import DATABASE

FOLDER = "analyses"
_MOST_BYTES = 64 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


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
    assert _NAME.fullmatch(name), name
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
