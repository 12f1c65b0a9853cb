"""What is watched, as a table in words and in a notebook."""

from collections.abc import Sequence

from fathom.capture.report import LayerReport
from fathom.listing import count_text
from fathom.markup import Bar, Number, html_table
from fathom.reading import LayerFacts
from fathom.spectral.gathered import is_sketched, memory_of
from fathom.spectral.spectrum import SETTLED_FROM
from fathom.text import columns, size


def watched_table(layers: Sequence[tuple[LayerFacts, str]], *, max_width: int) -> tuple[str, str]:
    """Describe layers and the memory that their moments take.

    Args:
        layers: What is known of each, with what is a row of it, in words.
        max_width: Wider layers are sketched.

    Returns:
        A table with a line a layer, and the memory of all.
    """
    rows = [("layer", "kind", "width", "a row is", "memory")]
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


def watched_html(facts: Sequence[LayerFacts], reports: Sequence[LayerReport], *, title: str) -> str:
    """Show how far the window of each layer is, for notebooks.

    Args:
        facts: What is known of each layer.
        reports: What was seen of each since the last snapshot, in the same order.
        title: Stands above.

    Returns:
        HTML that needs nothing from outside; a full bar is what settles a reading, were all of it
        of one phase.
    """
    rows = []
    for layer, seen in zip(facts, reports, strict=True):
        share = seen.rows / layer.width if layer.width else 0.0
        rows.append(
            (
                layer.name or "(model)",
                layer.kind,
                Number("?" if layer.width is None else layer.width),
                Bar(share / SETTLED_FROM, count_text(share)),
                seen.reason or seen.state,
            )
        )
    head = ("layer", "kind", "width", "rows/width of both phases", "since the last snapshot")
    return html_table(head, rows, title=title)
