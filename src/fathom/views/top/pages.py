"""What `fathom top` shows on a page of its own: help, findings, metrics, a layer's details."""

import math
from collections.abc import Sequence

import numpy as np
from rich.text import Text

from fathom.listing import count_text, number_text
from fathom.spectral.spectrum import PROVISIONAL_BELOW, SETTLED_FROM, Spectrum
from fathom.text import visible
from fathom.views.look import WORDS, Look
from fathom.views.sparkline import sparkline
from fathom.views.tables import bar
from fathom.views.top.board import Board, Row
from fathom.views.top.columns import LEAST, MARKS, change_text
from fathom.views.top.head import metric_lines

_KEYS = (
    ("up down, j k", "move; page up and down, home, end too"),
    ("enter", "a layer's details"),
    ("/", "filter by words in name, kind or status; esc clears"),
    ("o n w d s c", "sort by order, name, width, dimension, saturation, change"),
    (
        "the same again",
        "the other way round",
    ),
    ("p", "the other phase: train or eval"),
    ("left right, h", "the step before, the one after"),
    ("l", "the newest step, and follow it"),
    ("f", "what there is to know, in words"),
    ("m", "all metrics"),
    ("t", "light or dark"),
    ("q", "quit"),
)

_SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
_LEADING = 5


def help_page() -> Text:
    """Say what the keys do and what the columns mean."""
    keys = [Text.assemble((f"{key:<15}", "bold"), words) for key, words in _KEYS]
    meanings = (
        "dim. is the intrinsic dimension: how many directions carry the threshold's share of the "
        "variance; > is a lower bound. Saturation is that over the width. change and trend are of "
        "the saturation, since the first step that has one; a trend is as high as the difference "
        f"between its lowest and highest, and at least {LEAST}.",
        f"provisional: fewer than {PROVISIONAL_BELOW} rows per width, so the dimension is too low. "
        f"settling: fewer than {SETTLED_FROM}. coarse: the type of the activations is too coarse "
        "for their mean. Where there is no room for the word, "
        + " and ".join(f"{mark} behind the number is {word}" for word, mark in MARKS.items())
        + ".",
    )
    title = Text("fathom top", "bold")
    return Text("\n").join([title, Text(), *keys, *(Text(f"\n{each}") for each in meanings)])


def findings_page(board: Board, *, trouble: str, look: Look) -> Text:
    """Say in words what there is to know of the last step.

    Args:
        board: The step that is shown.
        trouble: What of the run cannot be read.
        look: The colours.

    Returns:
        A paragraph each.
    """
    step = board.history.moments[-1].step
    lines = [Text(f"What there is to know, {board.phase}, step {step}", "bold")]
    lines += [
        Text.assemble("\n", (each.kind, look.status["provisional"]), "  ", visible(each.text))
        for each in board.history.phases[board.phase].findings
    ]
    if trouble:
        lines.append(Text(f"\n{visible(trouble)}", look.status["coarse"]))
    return Text("\n").join(lines)


def metrics_page(board: Board, *, look: Look) -> Text:
    """List all metrics.

    Args:
        board: The step that is shown.
        look: The colours.

    Returns:
        A line each.
    """
    lines = metric_lines(board, look) or [Text("No metrics were given: snapshot(step, loss=...).")]
    return Text("\n").join([Text(f"Metrics at step {board.step}\n", "bold"), *lines])


def layer_page(row: Row, board: Board, spectrum: Spectrum | None, *, look: Look) -> Text:
    """Tell what is known of one layer at one step.

    Args:
        row: The layer.
        board: The step that is shown.
        spectrum: Its eigenvalues; None where there are none.
        look: The colours.

    Returns:
        Its numbers, and a summary of the spectrum.
    """
    known = row.trend[np.isfinite(row.trend)]
    facts = [
        ("kind", f"{row.facts.kind} ({visible(row.facts.module)})"),
        ("also called", ", ".join(map(visible, row.facts.aliases))),
        ("width", number_text(row.width, ",.0f")),
        (WORDS["intrinsic_dimension"], row.dimension_text),
        (WORDS["saturation"], f"{number_text(row.saturation, '.3f')}  {change_text(row.change)}"),
        ("lowest, highest", f"{known.min():.3f}, {known.max():.3f}" if len(known) else ""),
        ("rows", f"{count_text(row.rows)}, {row.rows_text} per width"),
        ("samples", f"{row.samples:,.0f}"),
        ("status", row.status),
    ]
    title = f"{row.label}\n{board.phase}, step {board.step}\n"
    lines = [Text(title, "bold"), *_table([(key, value) for key, value in facts if value])]
    lines.append(
        Text.assemble(f"{'trend':<21}", (sparkline(row.trend, 16, least=LEAST), look.series[0]))
    )
    lines += [Text(), *_spectrum(spectrum, board.history.threshold, look)]
    return Text("\n").join(lines)


def _spectrum(spectrum: Spectrum | None, threshold: float, look: Look) -> list[Text]:
    if spectrum is None or not len(spectrum.eigenvalues) or not float(spectrum.eigenvalues[0]) > 0:
        return [Text("There is no spectrum at this step.")]
    values = spectrum.eigenvalues.numpy()
    share = values / (values.sum() / spectrum.captured)
    whole = np.cumsum(share)
    lines = [Text(f"Spectrum: {len(values)} eigenvalues, in squared activation units", "bold")]
    if spectrum.sketched:
        lines.append(Text(f"sketched: they carry {spectrum.captured:.1%} of the variance"))
    for place, each in enumerate(share[:_LEADING], start=1):
        drawn = bar(float(each), 16)
        head = f"{'eigenvalue ' + str(place):<21}{values[place - 1]:<10.4g}{each:>6.1%} "
        lines.append(Text.assemble(head, (drawn, look.series[0])))
    reached = [
        (f"{level:.4g} of variance", f"{np.searchsorted(whole, level) + 1:,} directions")
        for level in sorted({*_SHARES, threshold} - {math.nan, 1.0})
        if whole[-1] > level
    ]
    statistics = spectrum.statistics(threshold if 0 < threshold <= 1 else _SHARES[3])
    names = [name for name in statistics if name not in ("saturation", "intrinsic_dimension")]
    numbers = [(name.replace("_", " "), f"{statistics[name]:.5g}") for name in names]
    return [*lines, Text(), *_table(reached), Text(), *_table(numbers)]


def _table(pairs: Sequence[tuple[str, str]]) -> list[Text]:
    return [Text.assemble(f"{key:<20} ", (value, "bold")) for key, value in pairs]
