"""Layer names as labels: short, still told apart, and only ever text."""

from collections import Counter
from collections.abc import Sequence

from fathom.views.names import cut


def plain(text: str) -> str:
    """Make text that matplotlib shows as it is.

    Args:
        text: Any, such as a name from a file.

    Returns:
        Dollar signs that begin no formula, and escapes for what cannot be printed.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.replace("$", r"\$")


def short_names(names: Sequence[str], *, most: int = 26) -> tuple[list[str], str]:
    """Shorten layer names, and keep them told apart.

    Args:
        names: Different from each other.
        most: As many characters, but for what tells names apart.

    Returns:
        A label for each name, and the prefix of whole parts (`model.encoder.`) that all had in
        common and no label repeats.
    """
    prefix = _common_prefix(names)
    rests = [name[len(prefix) :] or "(model)" for name in names]
    shorts = [_abbreviated(rest, most) for rest in rests]
    # An initial may stand for two words: those names keep theirs, and are cut in the middle.
    counts = Counter(shorts)
    shorts = [
        cut(short if counts[short] == 1 else rest, most)
        for short, rest in zip(shorts, rests, strict=True)
    ]
    counts = Counter(shorts)
    return [
        short if counts[short] == 1 else f"{cut(short, most - 6)} #{place}"
        for place, short in enumerate(shorts, start=1)
    ], prefix


def _common_prefix(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    prefix: list[str] = []
    for parts in zip(*(name.split(".")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        prefix.append(parts[0])
    return "".join(f"{part}." for part in prefix)


def _abbreviated(name: str, most: int) -> str:
    """Shorten words to their initials, from the front, until the name is short enough."""
    parts = name.split(".")
    for place, part in enumerate(parts[:-1]):
        if len(".".join(parts)) <= most:
            break
        if not part.isdigit():
            parts[place] = part[:1]
    return ".".join(parts)
