"""Where a run keeps what was found, checked before the work begins."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fathom.errors import ArgumentError
from fathom.store.analyses import write_analysis
from fathom.store.stored import StoredRun

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class Place(NamedTuple):
    """A run's folder, and a name in it."""

    folder: Path
    name: str


def place_in(run: StoredRun | str | os.PathLike[str], name: str, *, where: str) -> Place:
    """Return where a run is to keep something.

    Args:
        run: An open run, or the folder of one.
        name: Which of its kind.
        where: The function, for messages.

    Returns:
        The place.

    Raises:
        ArgumentError: If no file can have that name.
        RunNotFoundError: If there is no run.
    """
    if not _NAME.fullmatch(name):
        raise ArgumentError(
            f"{where}: name must be of letters, digits, '.', '_' and '-', at most 200, got "
            f"{name!r}."
        )
    if isinstance(run, StoredRun):
        return Place(run.path, name)
    folder = Path(run)
    StoredRun(folder).close()
    return Place(folder, name)


def keep(place: Place, kind: str, body: Mapping[str, Any]) -> None:
    """Write what was found.

    Args:
        place: Where.
        kind: What it is.
        body: What JSON can hold.
    """
    write_analysis(place.folder, kind, place.name, body)
