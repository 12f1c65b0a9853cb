"""What is watched, as a table in words."""

from collections.abc import Sequence

from fathom.snapshot import LayerFacts
from fathom.text import columns, size


def watched_table(layers: Sequence[tuple[LayerFacts, str]]) -> tuple[str, str]:
    """Describe layers and the memory that their moments take.

    Args:
        layers: What is known of each, with what is a row of it, in words.

    Returns:
        A table with a line a layer, and the memory of all.
    """
    rows = [("layer", "kind", "width", "rows", "memory")]
    total, some_unknown = 0, False
    for facts, row in layers:
        # A float64 scatter in each of two phases, with float32 products that wait to join it.
        memory = 2 * 12 * facts.width**2 if facts.width else None
        total += memory or 0
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
    return table, f"{bound} {size(total)} of moments for the two phases"
