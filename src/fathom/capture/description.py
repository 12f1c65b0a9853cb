"""What is watched, as a table in words."""

from collections.abc import Sequence

from fathom.snapshot import LayerFacts
from fathom.spectral.gathered import is_sketched, memory_of
from fathom.text import columns, size


def watched_table(layers: Sequence[tuple[LayerFacts, str]], *, max_width: int) -> tuple[str, str]:
    """Describe layers and the memory that their moments take.

    Args:
        layers: What is known of each, with what is a row of it, in words.
        max_width: Wider layers are sketched.

    Returns:
        A table with a line a layer, and the memory of all.
    """
    rows = [("layer", "kind", "width", "rows", "memory")]
    total, some_unknown, sketched = 0, False, []
    for facts, row in layers:
        memory = memory_of(facts.width, max_width=max_width) if facts.width else None
        total += memory or 0
        if facts.width and is_sketched(facts.width, max_width=max_width):
            sketched.append(facts.name or "(model)")
        some_unknown |= memory is None
        rows.append(
            (
                " = ".join((facts.name or "(model)", *facts.aliases)),
                facts.kind,
                "?" if facts.width is None else str(facts.width),
                row,
                "?" if memory is None else size(memory),
            )
        )
    bound = "at least" if some_unknown else "up to"
    table = columns(rows, right=frozenset({2, 4}))
    aside = f", {', '.join(sketched)} sketched" if sketched else ""
    return table, f"{bound} {size(total)} of moments for the two phases{aside}"
