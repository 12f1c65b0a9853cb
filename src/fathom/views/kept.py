"""What analyses found about a run, as records."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fathom.errors import ArgumentError, DamagedRecordError, warn
from fathom.store.analyses import read_analyses

T = TypeVar("T")


OfBody = Callable[[Mapping[str, Any]], T]
"""Makes a record, or raises DamagedRecordError."""


def read(folder: Path, kind: str, of_body: OfBody[T]) -> tuple[dict[str, T], list[str]]:
    """Read all records of a kind.

    Args:
        folder: The run's folder.
        kind: Under which they are kept.
        of_body: Makes a record.

    Returns:
        By name, and the names of those that fathom did not write.
    """
    bodies, damaged = read_analyses(folder, kind)
    found = {}
    for name, body in bodies.items():
        try:
            found[name] = of_body(body)
        except DamagedRecordError:
            damaged.append(name)
    return found, damaged


def kept(folder: Path, kind: str, of_body: OfBody[T]) -> dict[str, T]:
    """Read all records of a kind; those that fathom did not write are left out, with a warning.

    Args:
        folder: The run's folder.
        kind: Under which they are kept.
        of_body: Makes a record.

    Returns:
        By name.
    """
    found, damaged = read(folder, kind, of_body)
    if damaged:
        warn(
            f"run: {kind} {', '.join(sorted(damaged))} of {folder} is left out, as it is not as "
            "fathom wrote it. Remove the file from its folder analyses, and measure again."
        )
    return found


def one_of(found: Mapping[str, T], name: str | None, *, where: str, how: str) -> T:
    """Return the record of a name, or the only one.

    Args:
        found: By name.
        name: Which; None where there is but one.
        where: The function, for messages.
        how: What keeps one in a run.

    Returns:
        The record.

    Raises:
        ArgumentError: If there is none of that name, or none at all, or several and no name.
    """
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is not None and name in found:
        return found[name]
    if not found:
        raise ArgumentError(f"{where}: run must hold one, got none. Keep one with {how}.")
    raise ArgumentError(f"{where}: name must be one of {', '.join(found)}, got {name!r}.")
