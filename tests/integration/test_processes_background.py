"""Many processes: the ranks merge and decompose while the training of each goes on."""

import os
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import fathom
from held import Notes, held_decompositions
from processes import Died, Processes
from processes_comparison import Share, Witness, bits_of, layers_of, said

pytestmark = pytest.mark.regime("Processes")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 9))


def go_on_while_a_rank_decomposes(folder: Path) -> tuple[bool, list[Share], list[int]]:
    """Train under DDP between a snapshot whose decompositions are held and its end."""
    rank, model, notes = distributed.get_rank(), DistributedDataParallel(network()), Notes()
    witness = Witness(model, layers_of(model.module), run=folder, sinks=[notes])
    with held_decompositions() as gate:
        model(torch.randn(20 + rank, 6)).sum().backward()
        taken = witness.monitor.snapshot(step=0)
        # The other rank's gradients arrive: its training goes on, too.
        model(torch.randn(5 + rank, 6)).sum().backward()
        waits = not taken.done
        distributed.barrier()
        gate.open_soon() if rank else gate.open()
        witness.snapshot(1)
    witness.close()
    assert taken.train["0"].rows == 41
    assert taken.done
    return waits, witness.shares, notes.steps


def test_the_training_goes_on_while_ranks_decompose(processes: Processes, tmp_path: Path) -> None:
    told = processes.run(go_on_while_a_rank_decomposes, tmp_path / "run", ranks=2)
    assert [waits for waits, *_ in told] == [True, True]
    assert [steps for *_, steps in told] == [[0, 1], []]
    (first,), (second,) = (shares for _, shares, _ in told)
    assert said(first.taken()) == said(second.taken())
    assert first.taken().train["0"].rows == 5 + 6
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 1]
        assert run.spectrum("0", step=0, phase="train").rows == 41


def train(watched: bool) -> tuple[list[bytes], list[bytes]]:
    torch.manual_seed(7)
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(distributed.get_rank())
    monitor = fathom.watch(model, budget=None) if watched else None
    losses, taken = [], []
    for step in range(12):
        optimizer.zero_grad()
        loss = model(torch.randn(30, 6, generator=generator)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        if monitor is not None:
            taken.append(monitor.snapshot(step))
    if monitor is not None:
        monitor.close()
    return bits_of(model, losses), [pickle.dumps(said(each)) for each in taken]


def train_twice() -> tuple[bool, list[bytes]]:
    plain, _ = train(watched=False)
    watched, taken = train(watched=True)
    return watched == plain, taken


def test_a_training_of_ranks_with_spectra_under_way_is_the_same_to_the_bit(
    processes: Processes,
) -> None:
    (same, first), (also, second) = processes.run(train_twice, ranks=2)
    assert same
    assert also
    assert first == second
    assert len(first) == 12


def die_while_others_decompose(folder: Path) -> tuple[list[str], list[str], list[int], str]:
    rank, model, notes = distributed.get_rank(), network(), Notes()
    monitor = fathom.watch(model, folder, sinks=[notes], budget=None)
    with held_decompositions() as gate, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model(torch.randn(20, 6))
        snapshot = monitor.snapshot(step=0, loss=0.5)
        assert gate.reached.wait(60)
        distributed.barrier()
        if rank == 1:
            os._exit(7)
        gate.open()
        model(torch.randn(20, 6))
        later = monitor.snapshot(step=1)
        told = [str(each.message) for each in heard]
        model(torch.randn(20, 6))
        assert not later.train
        assert monitor.snapshot(step=2).disabled == later.disabled
        monitor.close()
        assert len(heard) == len(told)
    return told, list(snapshot.disabled), notes.steps, snapshot.disabled["0"]


def test_a_rank_that_dies_meanwhile_is_told_at_the_next_call(
    processes: Processes, tmp_path: Path
) -> None:
    (told, disabled, steps, why), died = processes.run(
        die_while_others_decompose, tmp_path / "run", ranks=2, limit=40
    )
    assert died == Died(7)
    assert len(told) == 1
    assert "watching stops here; the training goes on" in told[0]
    assert disabled == ["0", "2"]
    assert why.startswith("RanksError")
    assert steps == [0, 1, 2]
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 1, 2]
        assert run.metrics["loss"][0] == 0.5


def end_the_group_meanwhile(folder: Path) -> tuple[int, list[str]]:
    model = network()
    with warnings.catch_warnings(record=True) as heard, held_decompositions() as gate:
        warnings.simplefilter("always")
        monitor = fathom.watch(model, folder, budget=None)
        model(torch.randn(20, 6))
        snapshot = monitor.snapshot(step=0)
        assert gate.reached.wait(60)
        distributed.destroy_process_group()
        gate.open()
        monitor.close()
    return len(snapshot.train), [str(each.message) for each in heard]


def test_the_process_group_may_end_while_ranks_decompose(
    processes: Processes, tmp_path: Path
) -> None:
    assert processes.run(end_the_group_meanwhile, tmp_path / "run", ranks=2) == [(2, [])] * 2
    with fathom.open_run(tmp_path / "run") as run:
        assert run.spectrum("0", phase="train").rows == 40


def snapshot_with_a_wrong_step_meanwhile() -> tuple[str, int, int]:
    """Rank 1 passes a wrong step while the window before is still being decomposed."""
    model = network()
    with fathom.watch(model, budget=None) as monitor, held_decompositions() as gate:
        model(torch.randn(20, 6))
        first = monitor.snapshot(step=3)
        model(torch.randn(10, 6))
        gate.open_soon()
        told = ""
        try:
            monitor.snapshot(step=4 - distributed.get_rank())
        except fathom.ArgumentError as error:
            told = str(error)
        rows = monitor.snapshot(step=5).train["0"].rows
    return told, first.train["0"].rows, rows


def test_a_wrong_argument_meanwhile_keeps_the_ranks_in_step(processes: Processes) -> None:
    (one, *rows), (other, *more) = processes.run(snapshot_with_a_wrong_step_meanwhile, ranks=2)
    assert rows == more == [40, 20]
    assert "arguments must be right on every rank, got on rank 1" in one
    assert "step must come after 3" in other
