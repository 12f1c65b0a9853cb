"""Plain text for terminals: aligned columns, sizes that people read, and names that do nothing."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Align rows of cells in columns.

    Args:
        rows: The cells, the header first; all rows of one length. What a terminal would obey is
            written as `visible` does: names come from files that anybody can make.
        right: The columns that hold numbers.

    Returns:
        One line a row, two spaces between columns.
    """
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def size(count: float) -> str:
    """Write a number of bytes with a unit.

    Args:
        count: Bytes.

    Returns:
        Such as `12.5 MiB`.
    """
    for unit in ("B", "KiB", "MiB"):
        if round(count, 1) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def visible(text: str) -> str:
    r"""Write what a terminal would obey, or not show, as the escapes of Python's own literals.

    Args:
        text: Anything, such as a layer's name from a file.

    Returns:
        One line of printable characters: `\x1b` for the escape that begins a terminal's commands,
        `\n` for a new line, `\u202e` for the mark that turns the direction of writing.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
