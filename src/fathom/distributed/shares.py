"""What ranks say of their rows before they share what they have of them, and who does what."""

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple, Self

from fathom.distributed.merging import Key, Merged
from fathom.spectral.gathered import Counts


class Share(NamedTuple):
    """What a rank says of its rows of a layer before it shares their moments.

    Attributes:
        width: d.
        columns: l of a sketch; None of moments.
        counted: Rows that counted, each as often as its weight.
        heaviest: The largest weight.
        read: Rows that counted, each once.
        resolution: As in `Gathered`.
        counts: What is behind them.
    """

    width: int
    columns: int | None
    counted: int
    heaviest: int
    read: int
    resolution: float
    counts: Counts

    @classmethod
    def total(cls, shares: list[Self]) -> Self:
        """Return the share of all ranks together.

        Args:
            shares: Of one layer and phase, one a rank.

        Returns:
            Their sum.
        """
        return cls(
            shares[0].width,
            shares[0].columns,
            sum(share.counted for share in shares),
            max(share.heaviest for share in shares),
            sum(share.read for share in shares),
            max(share.resolution for share in shares),
            Counts(*(sum(column) for column in zip(*(s.counts for s in shares), strict=True))),
        )


def owners_of(works: Mapping[Key, int], size: int) -> dict[Key, int]:
    """Share the decompositions among the ranks: the longest first, each to who has the least.

    Args:
        works: What each takes, by layer and phase; the same on every rank.
        size: How many ranks there are.

    Returns:
        The rank that decomposes each.
    """
    load = [0] * size
    owners = {}
    for key in sorted(works, key=lambda key: (-works[key], key)):
        owners[key] = load.index(min(load))
        load[owners[key]] += works[key]
    return {key: owners[key] for key in works}


def totals_of(said: list[dict[Key, Share]], merged: Merged) -> dict[Key, Share]:
    """Return what all ranks have together, in an order that is the same on each of them.

    Args:
        said: By every rank, in order of rank.
        merged: Takes layers in which the ranks do not fit together.

    Returns:
        By layer and phase.
    """
    totals = {}
    for key in dict.fromkeys(chain.from_iterable(said)):
        shares = [of_rank[key] for of_rank in said if key in of_rank]
        if len(widths := sorted({share.width for share in shares})) > 1:
            merged.add(
                key,
                f"RanksError: the width must be the same on every rank, got {widths}. "
                "Give every rank inputs of the same size.",
            )
        elif len({share.columns for share in shares}) > 1:
            merged.add(
                key,
                "RanksError: a layer must be sketched on every rank or on none, got both. "
                "Load states that were saved with the same max_width.",
            )
        else:
            totals[key] = Share.total(shares)
    return totals
