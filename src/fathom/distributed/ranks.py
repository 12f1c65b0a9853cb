"""The moments of all ranks, merged exactly, and decomposed once each."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, distributed

from fathom.distributed.meeting import TOLD_AFTER, Meeting, advice
from fathom.distributed.merging import Alone, Key, Merged, decomposed
from fathom.errors import RanksError, warn
from fathom.spectral.gathered import Counts, Gathered
from fathom.spectral.moments import Moments


class _Share(NamedTuple):
    """What a rank says of its rows of a layer before it shares their moments."""

    width: int
    rows: int
    resolution: float
    counts: Counts

    @classmethod
    def total(cls, shares: list[Self]) -> Self:
        """Return the share of all ranks together."""
        return cls(
            shares[0].width,
            sum(share.rows for share in shares),
            max(share.resolution for share in shares),
            Counts(*(sum(column) for column in zip(*(s.counts for s in shares), strict=True))),
        )


class Ranks(Alone):
    """The processes of one training, connected by a process group of fathom's own.

    Its traffic cannot meet that of the training. It goes over the CPU, whatever the training uses.
    """

    def __init__(self, meeting: Meeting):
        """Connect all ranks; each of them has to.

        Args:
            meeting: Where they agreed to.
        """
        self.rank, self.size = meeting.rank, meeting.size
        self._store = meeting.store
        self._heard = 0
        # A rank that dies breaks its connections, and with that a collective of gloo, at once.
        self._group = distributed.new_group(backend="gloo", timeout=meeting.limit)

    def hear(self, mine: Any) -> list[Any]:
        """Return what every rank says.

        Args:
            mine: What this rank says: anything that can be pickled.

        Returns:
            In order of rank.

        Raises:
            RanksError: If a rank cannot be reached, or does not come in time. All is over then.
        """
        with self._reaching():
            self._heard += 1
            self._store.set(f"heard/{self.rank}", str(self._heard))
            waiting = threading.Timer(TOLD_AFTER, self._tell_of_waiting)
            waiting.daemon = True
            waiting.start()
            try:
                return self._gather(mine)
            finally:
                waiting.cancel()

    def merge(self, mine: Mapping[Key, Gathered], *, with_rankme: bool, keep: bool) -> Merged:
        """Merge the moments of all ranks, decompose each layer on one of them, and share.

        Args:
            mine: What this rank has, which is used up.
            with_rankme: Measure RankMe too.
            keep: Whether rank 0 wants the moments.

        Returns:
            The same on every rank, but for the moments.

        Raises:
            RanksError: If a rank cannot be reached. All is over then.
        """
        with self._reaching():
            own = {key: each.moments for key, each in mine.items() if each.moments is not None}
            said = {
                key: _Share(moments.width, int(moments.count), each.resolution, each.counts())
                for key, each in mine.items()
                if (moments := own.get(key)) is not None
            }
            merged = Merged()
            totals = _totals(self._gather(said), merged)
            owners = owners_of({key: total.width for key, total in totals.items()}, self.size)
            means = self._means(totals, own)
            scatters = self._scatters(totals, own, means, owners)
            decided = {}
            for key, (scatter, arrival) in scatters.items():
                arrival.wait()
                total = totals[key]
                if owners[key] == self.rank:
                    moments = _moments(total, means[key], scatter)
                    decided[key] = decomposed(moments, total.resolution, with_rankme)
            for part in self._gather(decided):
                for key, found in part.items():
                    merged.add(key, found)
            if keep:
                complete = {key: scatter for key, (scatter, _) in scatters.items()}
                self._hand_over(complete, owners)
                if self.rank == 0:
                    merged.moments = {
                        key: _moments(total, means[key], complete[key])
                        for key, total in totals.items()
                    }
            merged.counts = {key: total.counts for key, total in totals.items()}
            return merged

    def leave(self) -> None:
        """Close the connections, which ends the waiting of whoever waits for this rank."""
        # It went with all others if the user destroyed the default group.
        with suppress(ValueError):
            distributed.destroy_process_group(self._group)

    def _gather(self, mine: Any) -> list[Any]:
        everyone: list[Any] = [None] * self.size
        distributed.all_gather_object(everyone, mine, group=self._group)
        return everyone

    def _means(self, totals: Mapping[Key, _Share], own: Mapping[Key, Moments]) -> dict[Key, Tensor]:
        """Return the mean of all ranks' rows, by layer and phase."""
        sums = [
            own[key].mean.cpu() * int(own[key].count)
            if key in own
            else torch.zeros(total.width, dtype=torch.float64, device="cpu")
            for key, total in totals.items()
        ]
        if not sums:
            return {}
        flat = torch.cat(sums)
        distributed.all_reduce(flat, group=self._group)
        parts = flat.split([total.width for total in totals.values()])
        return {
            key: part / max(total.rows, 1)
            for (key, total), part in zip(totals.items(), parts, strict=True)
        }

    def _scatters(
        self,
        totals: Mapping[Key, _Share],
        own: Mapping[Key, Moments],
        means: Mapping[Key, Tensor],
        owners: Mapping[Key, int],
    ) -> dict[Key, tuple[Tensor, distributed.Work]]:
        """Begin to add up the ranks' scatters, about the mean of all, each at its owner."""
        under_way = {}
        for key, total in totals.items():
            if key in own:
                apart = own[key].mean.cpu() - means[key]
                scatter = own[key].scatter.cpu()
                scatter.addr_(apart, apart, alpha=int(own[key].count))
            else:
                scatter = torch.zeros(total.width, total.width, dtype=torch.float64, device="cpu")
            arrival = distributed.reduce(
                scatter, group=self._group, group_dst=owners[key], async_op=True
            )
            assert arrival is not None
            under_way[key] = scatter, arrival
        return under_way

    def _hand_over(self, scatters: Mapping[Key, Tensor], owners: Mapping[Key, int]) -> None:
        """Bring the complete scatters from their owners to rank 0."""
        for key, scatter in scatters.items():
            if owners[key] == 0:
                continue
            if self.rank == owners[key]:
                distributed.send(scatter, group=self._group, group_dst=0)
            elif self.rank == 0:
                distributed.recv(scatter, group=self._group, group_src=owners[key])

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say in one way that ranks cannot be reached, and release those that wait for this one."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            self.leave()
            raise RanksError(
                f"snapshot: all {self.size} ranks must be there, got on rank {self.rank} "
                f"{type(error).__name__}: {error}"
            ) from error

    def _tell_of_waiting(self) -> None:
        missing = []
        for rank in range(self.size):
            key = f"heard/{rank}"
            if not self._store.check([key]) or int(self._store.get(key)) < self._heard:
                missing.append(str(rank))
        warn(
            f"fathom: snapshot on rank {self.rank} waits for rank {', '.join(missing)}. "
            f"{advice('snapshot')}"
        )


def owners_of(widths: Mapping[Key, int], size: int) -> dict[Key, int]:
    """Share the decompositions among the ranks: the widest first, each to who has the least.

    Args:
        widths: By layer and phase; the same on every rank.
        size: How many ranks there are.

    Returns:
        The rank that decomposes each.
    """
    load = [0] * size
    owners = {}
    for key in sorted(widths, key=lambda key: (-widths[key], key)):
        owners[key] = load.index(min(load))
        # A decomposition takes time in proportion to the cube of the width.
        load[owners[key]] += widths[key] ** 3
    return {key: owners[key] for key in widths}


def _totals(said: list[dict[Key, _Share]], merged: Merged) -> dict[Key, _Share]:
    """Return what all ranks have together, in an order that is the same on each of them."""
    totals = {}
    for key in dict.fromkeys(chain.from_iterable(said)):
        shares = [of_rank[key] for of_rank in said if key in of_rank]
        if len(widths := sorted({share.width for share in shares})) > 1:
            merged.add(
                key,
                f"RanksError: the width must be the same on every rank, got {widths}. "
                "Give every rank inputs of the same size.",
            )
        else:
            totals[key] = _Share.total(shares)
    return totals


def _moments(total: _Share, mean: Tensor, scatter: Tensor) -> Moments:
    return Moments(
        count=torch.tensor(total.rows, device="cpu"),
        mean=mean,
        scatter=scatter,
        dropped=torch.tensor(total.counts.dropped, device="cpu"),
    )
