"""What was seen of each layer, and why not where nothing was."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fathom.capture.layers import is_inside_attention
from fathom.capture.window import Window
from fathom.reading import LayerFacts
from fathom.text import columns


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What was seen of one layer since the last snapshot.

    Attributes:
        layer: Its name.
        state: `observed`, `not called`, `skipped` (by `every`), `bypassed` (its weight is used
            without a call) or `switched off`.
        reason: Why it is not observed; empty where it is.
        calls: Calls that were read, in both phases.
        rows: Rows that counted.
        dropped: Rows left out because they held a NaN or an infinity.
        padded: Rows left out because they are padding.
    """

    layer: str
    state: str
    reason: str = ""
    calls: int = 0
    rows: int = 0
    dropped: int = 0
    padded: int = 0


class Reports(list[LayerReport]):
    """The reports of all layers, in execution order."""

    def __repr__(self) -> str:
        """Write them as a table, a line a layer."""
        rows: list[Sequence[str]] = [
            ("layer", "state", "calls", "rows", "dropped", "padded", "reason")
        ]
        rows += [
            (
                each.layer or "(model)",
                each.state,
                *(f"{count:,}" for count in (each.calls, each.rows, each.dropped, each.padded)),
                each.reason,
            )
            for each in self
        ]
        return columns(rows, right=frozenset({2, 3, 4, 5}))


def report_of(
    facts: LayerFacts,
    windows: list[Window],
    disabled: Mapping[str, str],
    missed: Collection[str],
    modules: Mapping[str, nn.Module],
) -> LayerReport:
    """Report on one layer.

    Args:
        facts: The layer.
        windows: Its windows.
        disabled: Why layers were switched off, by name.
        missed: Layers that were called when nothing was observed.
        modules: Every module of the model by name.

    Returns:
        The report.
    """
    if facts.name in disabled:
        return LayerReport(facts.name, "switched off", disabled[facts.name])
    if why := unseen(facts, windows, missed, modules):
        return LayerReport(facts.name, *why)
    moments = [window.moments for window in windows if window.moments is not None]
    return LayerReport(
        facts.name,
        "observed",
        calls=sum(window.calls for window in windows),
        rows=sum(each.rows for each in moments),
        dropped=sum(int(each.dropped) for each in moments),
        padded=sum(int(window.padded) for window in windows),
    )


def unseen(
    facts: LayerFacts,
    windows: Iterable[Window],
    missed: Collection[str],
    modules: Mapping[str, nn.Module],
) -> tuple[str, str] | None:
    """Return why nothing was seen of a layer.

    Args:
        facts: The layer.
        windows: Its windows.
        missed: Layers that were called when nothing was observed.
        modules: Every module of the model by name.

    Returns:
        The state and the reason of its report; None where something was seen.
    """
    if any(window.calls for window in windows):
        return None
    if facts.name in missed:
        return "skipped", "no call of it fell on an observed step"
    if is_inside_attention(facts.name, modules):
        return (
            "bypassed",
            "nn.MultiheadAttention uses its weight without a call; watch the attention itself",
        )
    return "not called", "no call of its module since the last snapshot; other uses are not seen"


def described(output: object) -> str:
    """Say in a few words what a layer returned.

    Args:
        output: Anything.

    Returns:
        The type and shape of a tensor; of anything else the class.
    """
    if isinstance(output, torch.Tensor) and not output.is_nested:
        return f"{output.dtype} of shape {tuple(output.shape)}"
    return type(output).__name__
