"""Agreement of all processes, before any of them relies on another.

They meet in the key-value store of `torch.distributed`, where it cannot hurt that one never comes
or sends something else: the rest say so and go on, which after a collective they could not.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Self

from torch import distributed

from fathom.errors import ArgumentError, RanksError, warn

TOLD_AFTER = 10.0
"""Seconds of waiting before it is said for whom; ranks are seldom that far apart."""

Decide = Callable[[list[Any]], Any]
"""What all ranks said -> what holds for all; `RanksError` where they do not fit together."""


class Meeting:
    """One occasion at which every rank says something and all hear the same verdict."""

    rank = 0
    size = 1
    limit: timedelta
    store: "distributed.distributed_c10d.Store"
    _everywhere: "distributed.distributed_c10d.Store"

    def __init__(self, where: str):
        """Begin a meeting of this process alone, which settles everything at once.

        Args:
            where: The function that was called, for messages.
        """
        self._where = where
        self._round = 0

    @classmethod
    def of_all(cls, where: str) -> Self:
        """Begin a meeting of all ranks of the default process group, if there is one.

        Args:
            where: The function that every rank calls, for messages.

        Returns:
            The meeting; of one process where there are no others.

        Raises:
            ArgumentError: If a launcher says that there are others, and there is no group yet.
        """
        meeting = cls(where)
        if not (distributed.is_available() and distributed.is_initialized()):
            if (launched := os.environ.get("WORLD_SIZE", "1")) not in ("", "1"):
                raise ArgumentError(
                    f"{where}: init_process_group must come first where there are other processes, "
                    f"got WORLD_SIZE={launched} and no process group. Call it before {where}, or "
                    'watch each process alone, with ranks="own".'
                )
            return meeting
        meeting.rank, meeting.size = distributed.get_rank(), distributed.get_world_size()
        if meeting.size > 1:
            store = meeting._everywhere = distributed.distributed_c10d._get_default_store()
            # Half of it: whoever waits in vain is back before the training's own limit ends it.
            meeting.limit = store.timeout / 2  # type: ignore[attr-defined]
            # The count of this rank's meetings lies in the store, and begins anew with a new one.
            number = store.add(f"fathom/{meeting.rank}", 1)
            meeting.store = distributed.distributed_c10d.PrefixStore(f"fathom/{number}", store)
        return meeting

    def settle(self, mine: Any, decide: Decide) -> Any:
        """Let rank 0 hear every rank, and decide for all.

        Args:
            mine: What this rank says, as JSON can hold it.
            decide: Used on rank 0.

        Returns:
            The verdict, the same on every rank.

        Raises:
            RanksError: If `decide` raised it on rank 0, or a rank did not come in time.
        """
        if self.size == 1:
            return decide([mine])
        with self._reaching():
            self._round += 1
            self._say(str(self.rank), {"said": mine})
            if self.rank == 0:
                self._say("verdict", self._verdict(decide))
                # All are past the round before.
                self.store.delete_key(f"{self._round - 1}/verdict")
            verdict = self._read("verdict", "rank 0 and those that it waits for")
        if "failed" in verdict:
            raise RanksError(verdict["failed"])
        return verdict["said"]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block that must succeed on every rank; where it fails on one, it fails on all.

        Raises:
            RanksError: If it failed on another rank, or one did not come in time.
        """
        try:
            yield
        except BaseException as error:
            self._fail(f"{type(error).__name__}: {error}")
            raise
        self.settle(None, list)

    def _fail(self, reason: str) -> None:
        """Leave word for the others of why this rank is gone, and wait for none of them."""
        if self.size == 1:
            return
        self._round += 1
        with suppress(RuntimeError):
            self._say(str(self.rank), {"failed": reason})
            if self.rank == 0:
                self._say("verdict", {"failed": self._told(0, reason)})

    def _told(self, rank: int, reason: str) -> str:
        return f"{self._where}: it must succeed on every rank, got on rank {rank} {reason}"

    def _verdict(self, decide: Decide) -> dict[str, Any]:
        """Return what rank 0 makes of what all have said."""
        everyone = []
        for rank in range(self.size):
            everyone.append(self._read(str(rank), f"rank {rank}"))
            self.store.delete_key(f"{self._round}/{rank}")
        for rank, each in enumerate(everyone):
            if "failed" in each:
                return {"failed": self._told(rank, each["failed"])}
        try:
            return {"said": decide([each["said"] for each in everyone])}
        except RanksError as error:
            return {"failed": str(error)}

    def _say(self, key: str, word: dict[str, Any]) -> None:
        self.store.set(f"{self._round}/{key}", json.dumps(word))

    def _read(self, key: str, who: str) -> Any:
        key = f"{self._round}/{key}"
        started, told, pause = time.monotonic(), False, 0.001
        while not self.store.check([key]):
            waited = time.monotonic() - started
            if waited > self.limit.total_seconds():
                self._withdraw()
                raise RanksError(
                    f"{self._where}: every rank must call it, got no call by {who} within "
                    f"{waited:.0f} s, half the time limit of the process group. "
                    f"{advice(self._where)}"
                )
            if waited > TOLD_AFTER and not told:
                warn(
                    f"fathom: {self._where} on rank {self.rank} waits for {who}. "
                    f"{advice(self._where)}"
                )
                told = True
            time.sleep(pause)
            pause = min(2 * pause, 0.1)
        return json.loads(self.store.get(key))

    def _withdraw(self) -> None:
        """Undo this rank's call, so that the next one on every rank finds all in step."""
        if self._round == 1:
            self.store.delete_key(f"1/{self.rank}")
            self._everywhere.add(f"fathom/{self.rank}", -1)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RanksError:
            raise
        except RuntimeError as error:
            raise RanksError(
                f"{self._where}: ranks must be able to meet, got {type(error).__name__}: {error}. "
                "Look for a rank that ended."
            ) from error


def processes() -> int:
    """Return how many processes there are in the default process group; 1 without one."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def advice(where: str) -> str:
    """Return what to do about a rank that does not come.

    Args:
        where: The function that it should have called.
    """
    return (
        f"Call {where} on every rank, outside of any `if rank == 0`; or watch one rank's own rows "
        'alone, with watch(..., ranks="own").'
    )
