"""The moments of all ranks, merged exactly, and decomposed once each."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from fathom.distributed.meeting import TOLD_AFTER, Meeting, advice
from fathom.distributed.merging import Key, Merged, decomposed
from fathom.distributed.parts import Parts, columns_of, joined, no_parts, parts_about, work_of
from fathom.distributed.shares import Share, owners_of, totals_of
from fathom.errors import ArgumentError, RanksError, warn
from fathom.spectral.gathered import Gathered
from fathom.spectral.moments import Moments
from fathom.spectral.sketch import Sketch

# A rank that dies breaks its connections, which ends a collective at once; so what is shared once
# all ranks are there may take its time, as wide layers take minutes to decompose.
_PATIENCE = timedelta(hours=1)


class AllRanks:
    """The processes of one training, connected by a process group of fathom's own.

    Its traffic cannot meet that of the training. It goes over the CPU, whatever the training uses.
    """

    def __init__(self, meeting: Meeting):
        """Connect all ranks; each of them has to.

        Args:
            meeting: Where they agreed to.

        Raises:
            RanksError: If they cannot be connected.
        """
        self.rank, self.size = meeting.rank, meeting.size
        self._store = meeting.store
        self._limit = meeting.limit
        self._heard = 0
        self._taking = False
        self._group: distributed.ProcessGroup | None = None
        try:
            self._group = distributed.new_group(backend="gloo", timeout=meeting.limit)
            distributed.distributed_c10d._set_pg_timeout(meeting.limit + _PATIENCE, self._group)
        except RuntimeError as error:
            raise RanksError(
                f"watch: gloo must connect all {self.size} ranks, got {error}. Name the network "
                'to use in GLOO_SOCKET_IFNAME, or watch each rank alone, with ranks="own".'
            ) from error

    @contextmanager
    def turn(self) -> Iterator[None]:
        """See `Ranks`.

        Raises:
            ArgumentError: If a snapshot is under way in this process.
        """
        if self._taking:
            raise ArgumentError(
                "snapshot: the one before must be done, got a call within it, as from a signal "
                "handler. Set a flag there, and take the snapshot at the end of a step."
            )
        self._taking = True
        try:
            yield
        finally:
            self._taking = False

    def hear(self, mine: Any) -> list[Any]:
        """See `Ranks`."""
        with self._reaching():
            self._heard += 1
            self._store.set(f"heard/{self.rank}", str(self._heard))
            waiting = threading.Timer(TOLD_AFTER, self._tell_of_waiting)
            waiting.daemon = True
            waiting.start()
            try:
                # The method, as the function needs a group that the user has not destroyed.
                group: Any = self._connected()
                group.monitored_barrier(self._limit, wait_all_ranks=True)
            finally:
                waiting.cancel()
                waiting.join()
            return self._gather(mine)

    def merge(self, mine: Mapping[Key, Gathered], *, with_rankme: bool, keep: bool) -> Merged:
        """See `Ranks`: every layer is decomposed on one of them, and shared."""
        with self._reaching():
            own = {key: each.moments for key, each in mine.items() if each.moments is not None}
            said = {
                key: Share(
                    moments.width,
                    columns_of(moments),
                    int(moments.count),
                    int(moments.heaviest),
                    int(moments.read),
                    each.resolution,
                    each.counts(),
                )
                for key, each in mine.items()
                if (moments := own.get(key)) is not None
            }
            merged = Merged()
            totals = totals_of(self._gather(said), merged)
            works = {key: work_of(total.width, total.columns) for key, total in totals.items()}
            owners = owners_of(works, self.size)
            means = self._means(totals, own)
            sums = self._sums(totals, own, means, owners)
            complete, decided = {}, {}
            for key, (parts, arrivals) in sums.items():
                for arrival in arrivals:
                    arrival.wait()
                total = totals[key]
                complete[key] = joined(
                    parts,
                    means[key],
                    count=total.counted,
                    dropped=total.counts.dropped,
                    heaviest=total.heaviest,
                    read=total.read,
                )
                if owners[key] == self.rank:
                    decided[key] = decomposed(complete[key], totals[key].resolution, with_rankme)
            for part in self._gather(decided):
                for key, found in part.items():
                    merged.add(key, found)
            if keep:
                whole = {key: each for key, each in complete.items() if isinstance(each, Moments)}
                self._hand_over(whole, owners)
                merged.moments = whole if self.rank == 0 else {}
            merged.counts = {key: total.counts for key, total in totals.items()}
            return merged

    def leave(self) -> None:
        """See `Ranks`: the connections close with the last reference to the group."""
        group, self._group = self._group, None
        # None would be the training's own group.
        if group is not None:
            # It went with all others if the user destroyed the default group.
            with suppress(ValueError):
                distributed.destroy_process_group(group)

    def _gather(self, mine: Any) -> list[Any]:
        everyone: list[Any] = [None] * self.size
        distributed.all_gather_object(everyone, mine, group=self._group)
        return everyone

    def _means(
        self, totals: Mapping[Key, Share], own: Mapping[Key, Moments | Sketch]
    ) -> dict[Key, Tensor]:
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
            key: part / max(total.counted, 1)
            for (key, total), part in zip(totals.items(), parts, strict=True)
        }

    def _sums(
        self,
        totals: Mapping[Key, Share],
        own: Mapping[Key, Moments | Sketch],
        means: Mapping[Key, Tensor],
        owners: Mapping[Key, int],
    ) -> dict[Key, tuple[Parts, list[distributed.Work]]]:
        """Begin to add up what the ranks have, about the mean of all, each layer at its owner."""
        under_way = {}
        for key, total in totals.items():
            if key in own:
                parts = parts_about(own[key], means[key])
            else:
                parts = no_parts(total.width, total.columns)
            arrivals = []
            for part in parts:
                arrival = distributed.reduce(
                    part, group=self._group, group_dst=owners[key], async_op=True
                )
                assert arrival is not None
                arrivals.append(arrival)
            under_way[key] = parts, arrivals
        return under_way

    def _hand_over(self, complete: Mapping[Key, Moments], owners: Mapping[Key, int]) -> None:
        """Bring the complete scatters from their owners to rank 0."""
        for key, moments in complete.items():
            if owners[key] == 0:
                continue
            if self.rank == owners[key]:
                distributed.send(moments.scatter, group=self._group, group_dst=0)
            elif self.rank == 0:
                distributed.recv(moments.scatter, group=self._group, group_src=owners[key])

    def _connected(self) -> distributed.ProcessGroup:
        if self._group is None:
            raise RanksError("snapshot: ranks must be connected, got one that left. Watch again.")
        return self._group

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say in one way that ranks cannot be reached, and release those that wait for this one."""
        self._connected()
        try:
            yield
        except Exception as error:
            self.leave()
            who = (
                f" Rank {', '.join(missing)} did not come." if (missing := self._missing()) else ""
            )
            raise RanksError(
                f"snapshot: all {self.size} ranks must take it, got on rank {self.rank} "
                f"{type(error).__name__}: {error}.{who} Look for a rank that ended, or that went "
                "another way."
            ) from error
        except BaseException:
            # Interrupted half-way, this rank is out of step with the others.
            self.leave()
            raise

    def _tell_of_waiting(self) -> None:
        if missing := self._missing():
            warn(
                f"fathom: snapshot on rank {self.rank} waits for rank {', '.join(missing)}. "
                f"{advice('snapshot')}"
            )

    def _missing(self) -> list[str]:
        """Return the ranks that have not come as far as this one; none where the store is gone."""
        missing = []
        with suppress(RuntimeError):
            for rank in range(self.size):
                key = f"heard/{rank}"
                if not self._store.check([key]) or int(self._store.get(key)) < self._heard:
                    missing.append(str(rank))
        return missing
