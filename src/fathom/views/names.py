"""What runs are called: their folders, with as much of the way there as tells them apart."""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

_ELLIPSIS = "…"

# Of a label: long enough for most names, and where those are cut the same, for what differs.
_SHORT, _LONG = 40, 72


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return what runs are called, each in its own way.

    Args:
        paths: Their folders.

    Returns:
        The end of each path, as long as it takes to differ; a run that is given again is numbered.
    """
    ways = [path.resolve().parts for path in paths]
    names: list[str] = []
    for way in ways:
        others = [other for other in ways if other != way]
        name = next(
            "/".join(way[-length:])
            for length in range(1, len(way) + 1)
            if length == len(way) or all(other[-length:] != way[-length:] for other in others)
        )
        # A run that is given twice is compared with itself.
        numbered = (f"{name} ({number})" for number in count(2))
        names.append(name if name not in names else next(n for n in numbered if n not in names))
    return names


def run_labels(paths: Sequence[Path]) -> list[str]:
    """Return what runs are called where there is little room.

    Args:
        paths: Their folders.

    Returns:
        Their names, cut in the middle, less where these would be the same, and still told apart.
    """
    names = run_names(paths)
    for most in (_SHORT, _LONG):
        labels = [cut(name, most) for name in names]
        if len(set(labels)) == len(names):
            return labels
    counts = Counter(labels)
    return [
        label if counts[label] == 1 else f"{cut(name, _LONG - 6)} #{place}"
        for place, (label, name) in enumerate(zip(labels, names, strict=True), start=1)
    ]


def cut(name: str, most: int) -> str:
    """Leave out the middle of a long name.

    Args:
        name: Any text.
        most: As many characters.

    Returns:
        The name, or its begin and more of its end.
    """
    if len(name) <= most:
        return name
    head = (most - 1) // 3
    return name[:head] + _ELLIPSIS + name[len(name) - (most - 1 - head) :]
