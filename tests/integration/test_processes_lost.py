"""Ranks that do not come, or die: who waits for them says so, and nothing hangs."""

import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import fathom
from processes import Died, Processes

pytestmark = pytest.mark.regime("Processes")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 9))


@contextmanager
def impatient(module: str) -> Iterator[list[warnings.WarningMessage]]:
    """Have it said soon for whom a rank waits, and hear it."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        patch.setattr(f"fathom.distributed.{module}.TOLD_AFTER", 0.2)
        yield heard


def watch_on_the_first_alone() -> tuple[str, float, list[str]]:
    told, started = "", time.monotonic()
    with impatient("meeting") as heard:
        if distributed.get_rank() == 0:
            try:
                fathom.watch(network(), budget=None)
            except fathom.RanksError as error:
                told = str(error)
    took = time.monotonic() - started
    distributed.barrier()
    return told, took, [str(each.message) for each in heard]


def test_a_watch_on_one_rank_alone_says_who_is_missing_and_ends(processes: Processes) -> None:
    (told, took, heard), _ = processes.run(watch_on_the_first_alone, ranks=2, limit=6)
    assert "every rank must call it, got no call by rank 1 within 3 s" in told
    assert 'ranks="own"' in told
    assert took < 5
    assert "watch on rank 0 waits for rank 1" in heard[0]


def snapshot_on_the_first_alone() -> tuple[list[str], str, float]:
    rank, model = distributed.get_rank(), DistributedDataParallel(network())
    with impatient("ranks") as heard, fathom.watch(model, budget=None) as monitor:
        model(torch.randn(20, 6)).sum().backward()
        reasons = ""
        if rank == 0:
            snapshot = monitor.snapshot(step=0, loss=0.5)
            assert snapshot.metrics == {"loss": 0.5}
            assert not snapshot.train
            reasons = snapshot.disabled["0"]
            assert set(snapshot.disabled) == {"0", "2"}
            assert monitor.snapshot(step=1).disabled == snapshot.disabled
        model(torch.ones(20, 6) * rank).sum().backward()
        bias = model.module[2].bias.grad
        assert bias is not None
    return [str(each.message) for each in heard], reasons, float(bias[0])


def test_a_snapshot_on_one_rank_alone_ends_watching_and_the_training_goes_on(
    processes: Processes,
) -> None:
    (heard, reasons, first), (_, _, second) = processes.run(
        snapshot_on_the_first_alone, ranks=2, limit=6
    )
    assert first == second
    assert "snapshot on rank 0 waits for rank 1" in heard[0]
    assert "watching stops here; the training goes on" in heard[1]
    assert len(heard) == 2
    assert "Rank 1 did not come" in reasons


def die_before_a_snapshot(when: str) -> tuple[list[str], str, float]:
    rank, model = distributed.get_rank(), DistributedDataParallel(network())
    monitor = fathom.watch(model, budget=None)
    model(torch.randn(20, 6)).sum().backward()
    if when == "between":
        monitor.snapshot(step=0)
    if rank == 1:
        os._exit(7)
    started, own = time.monotonic(), ""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        snapshot = monitor.snapshot(step=1)
        assert set(snapshot.disabled) == {"0", "2"}
        try:
            model(torch.randn(20, 6)).sum().backward()
        except RuntimeError as error:
            own = f"{type(error).__name__}: {error}"
    monitor.close()
    return [str(each.message) for each in heard], own, time.monotonic() - started


@pytest.mark.parametrize("when", ["at the first", "between"])
def test_a_rank_that_dies_leaves_the_training_its_own_error(
    processes: Processes, when: str
) -> None:
    (heard, own, took), died = processes.run(die_before_a_snapshot, when, ranks=2, limit=40)
    assert died == Died(7)
    assert len([message for message in heard if message.startswith("fathom")]) == 1
    assert "watching stops here" in heard[0]
    assert "RuntimeError" in own or "Dist" in own
    assert "fathom" not in own
    assert took < 20


def end_the_group_first(folder: Path) -> None:
    model = network()
    monitor = fathom.watch(model, folder, budget=None)
    model(torch.randn(20, 6))
    distributed.destroy_process_group()
    monitor.snapshot(step=1)
    monitor.close()


def test_the_last_snapshot_may_come_after_the_end_of_the_process_group(
    processes: Processes, tmp_path: Path
) -> None:
    processes.run(end_the_group_first, tmp_path / "run", ranks=2)
    with fathom.open_run(tmp_path / "run") as run:
        assert run.snapshot(1).train["0"].rows == 40


def snapshot_within_a_snapshot() -> tuple[list[str], int]:
    """Rank 0 waits for rank 1, and gets a signal whose handler takes a snapshot."""
    model = network()
    told: list[str] = []

    def handler(number: int, frame: object) -> None:
        try:
            monitor.snapshot(step=7)
        except fathom.ArgumentError as error:
            told.append(str(error))

    with fathom.watch(model, budget=None) as monitor:
        model(torch.randn(20, 6))
        if distributed.get_rank() == 1:
            time.sleep(1.0)
        else:
            before = signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
        rows = monitor.snapshot(step=0).train["0"].rows
        if distributed.get_rank() == 0:
            signal.signal(signal.SIGALRM, before)
    return told, rows


def test_a_snapshot_within_a_snapshot_is_refused_and_the_outer_one_goes_on(
    processes: Processes,
) -> None:
    (told, rows), (_, more) = processes.run(snapshot_within_a_snapshot, ranks=2)
    assert rows == more == 40
    assert "the one before must be done" in told[0]


def watch_again_after_a_watch_alone() -> int:
    if distributed.get_rank() == 0:
        with pytest.raises(fathom.RanksError, match="got no call by rank 1"):
            fathom.watch(network(), budget=None)
    distributed.barrier()
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(torch.randn(20, 6))
        return monitor.snapshot(step=0).train["0"].rows


def test_a_watch_that_was_given_up_leaves_the_next_one_in_step(processes: Processes) -> None:
    assert processes.run(watch_again_after_a_watch_alone, ranks=2, limit=4) == [40, 40]


def close_early() -> float:
    model = network()
    monitor = fathom.watch(model, budget=None)
    model(torch.randn(20, 6))
    if distributed.get_rank() == 1:
        monitor.close()
    started = time.monotonic()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        if distributed.get_rank() == 0:
            assert not monitor.snapshot(step=0).train
            assert "watching stops here" in str(heard[0].message)
            assert "rank 0 of 2; nothing is recorded" in str(monitor)
    took = time.monotonic() - started
    distributed.barrier()
    monitor.close()
    return took


def test_a_rank_that_closes_early_lets_the_others_go_at_once(processes: Processes) -> None:
    assert max(processes.run(close_early, ranks=2, limit=40)) < 10


def watch_before_the_group(port: int) -> list[str]:
    rank, size = distributed.get_rank(), distributed.get_world_size()
    distributed.destroy_process_group()
    model = network()
    with warnings.catch_warnings(record=True) as heard, fathom.watch(model, budget=None) as monitor:
        warnings.simplefilter("always")
        distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size
        )
        for step in range(2):
            model(torch.randn(20, 6))
            assert monitor.snapshot(step=step).train["0"].rows == 20
    return [str(each.message) for each in heard]


def test_a_watch_before_the_process_group_is_told_at_the_first_snapshot(
    processes: Processes,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for heard in processes.run(watch_before_the_group, port, ranks=2):
        assert len(heard) == 1
        assert "1 more processes train since init_process_group" in heard[0]


class Noting:
    """A sink."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def write(self, snapshot: fathom.Snapshot) -> None:
        self.steps.append(snapshot.step)

    def close(self) -> None:
        pass


def write_to_sinks() -> list[int]:
    sink, model = Noting(), network()
    with warnings.catch_warnings(), fathom.watch(model, sinks=[sink], budget=None) as monitor:
        warnings.simplefilter("ignore")
        monitor.snapshot(step=0).wait()
        if distributed.get_rank() == 1:
            # Ranks are lost, and rank 1 still is not the one that records.
            monitor._ranks.leave()
        monitor.snapshot(step=1)
        monitor.snapshot(step=2)
    return sink.steps


def test_the_first_rank_alone_writes_to_sinks_even_when_ranks_are_lost(
    processes: Processes,
) -> None:
    assert processes.run(write_to_sinks, ranks=2, limit=20) == [[0, 1, 2], []]
