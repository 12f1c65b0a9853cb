"""Threads, signals, forks and Ctrl-C in the middle of a step: nothing raises, hangs or is wrong."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference


def test_snapshots_while_other_threads_call_layers_for_the_first_time() -> None:
    torch.manual_seed(0)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(60)))
            with fathom.watch(model, layers=["*"], budget=None) as monitor:
                threads = [
                    threading.Thread(target=lambda layer=layer: layer(torch.ones(6, 4)))
                    for layer in model
                ]
                for thread in threads:
                    thread.start()
                rows = 0
                for step in range(5):
                    rows += sum(each.rows for each in monitor.snapshot(step).train.values())
                    str(monitor)
                for thread in threads:
                    thread.join()
                rows += sum(each.rows for each in monitor.snapshot(5).train.values())
                assert rows == 60 * 6
    finally:
        sys.setswitchinterval(interval)


def test_a_signal_handler_may_take_a_snapshot_in_the_middle_of_a_call() -> None:
    torch.manual_seed(1)
    model, batch = nn.Linear(8, 8), torch.randn(50, 8)
    taken: list[fathom.Snapshot] = []
    with fathom.watch(
        model, outputs={"": lambda output: interrupted(output)}, budget=None
    ) as monitor:

        def handler(number: int, frame: object) -> None:
            taken.append(monitor.snapshot(len(taken)))

        def interrupted(output: Tensor) -> Tensor:
            os.kill(os.getpid(), signal.SIGUSR1)
            return output

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            for _ in range(3):
                model(batch)
        finally:
            signal.signal(signal.SIGUSR1, before)
        last = monitor.snapshot(len(taken))
    assert len(taken) == 3
    # The window that was being added to stays for the next snapshot.
    assert sum(each.train[""].rows for each in [*taken, last] if each.train) == 150


def test_a_call_that_is_interrupted_half_way_leaves_no_wrong_number() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6))
    batch = torch.randn(100, 4)
    with fathom.watch(model, outputs={"1": lambda output: stop(output)}, budget=None) as monitor:

        def stop(output: Tensor) -> Tensor:
            if len(output) == 99:
                raise KeyboardInterrupt
            return output

        model(batch)
        with pytest.raises(KeyboardInterrupt):
            model(batch[:99])
        snapshot = monitor.snapshot(0)
    assert snapshot.unobserved == ("1",)
    rows = model[0](torch.cat([batch, batch[:99]])).detach().double().numpy()
    np.testing.assert_allclose(
        snapshot.train["0"].eigenvalues, reference.eigenvalues(rows), rtol=1e-4, atol=1e-9
    )


FORK = """
import os, sys, torch, fathom
from torch import nn
class Sink:
    def __init__(self): self.closed = []
    def write(self, snapshot): print("sink", os.getpid() == parent, snapshot.step, flush=True)
    def close(self): print("closed", os.getpid() == parent, flush=True)
torch.set_num_threads(1)
parent = os.getpid()
model = nn.Linear(3, 4)
with fathom.watch(model, sys.argv[1], sinks=[Sink()]) as monitor:
    model(torch.randn(5, 3)); monitor.snapshot(0)
    child = os.fork()
    if child == 0:
        model(torch.randn(5, 3))
        assert monitor.snapshot(1).train[""].rows == 5
        monitor.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    model(torch.randn(5, 3)); monitor.snapshot(1)
print(fathom.open_run(sys.argv[1]).steps)
"""


def test_a_forked_child_leaves_its_parents_run_and_sinks_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK, tmp_path / "run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["sink True 0", "sink True 1", "closed True", "[0, 1]"]


@pytest.mark.parametrize("freed", ["before the next snapshot", "before close"])
def test_a_database_that_is_held_for_a_while_loses_nothing(tmp_path: Path, freed: str) -> None:
    model, folder = nn.Linear(3, 4), tmp_path / "run"
    with fathom.watch(model, folder, budget=None) as monitor:
        other = sqlite3.connect(folder / "run.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        model(torch.randn(5, 3))
        with pytest.warns(fathom.FathomWarning, match="step 0 could not be recorded yet"):
            monitor.snapshot(0).wait()
        other.execute("COMMIT")
        other.close()
        if freed == "before the next snapshot":
            model(torch.randn(5, 3))
            monitor.snapshot(1).wait()
            assert fathom.open_run(folder).steps == [0, 1]
    assert fathom.open_run(folder).steps[0] == 0
    assert fathom.open_run(folder).damaged == []


def test_a_watch_that_fails_leaves_no_hook_and_no_lock(tmp_path: Path) -> None:
    model = nn.Linear(3, 4)
    for _ in range(2):
        with pytest.raises(fathom.ArgumentError, match="sinks"):
            fathom.watch(model, tmp_path / "run", sinks=[object()], budget=None)  # type: ignore[list-item]
        assert not model._forward_hooks
    (tmp_path / "file").write_text("")
    with pytest.raises(fathom.RunError):
        fathom.watch(model, tmp_path / "file", budget=None)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    fathom.watch(model, tmp_path / "run", budget=None).close()


def test_traces_of_every_kind_hold_nothing_of_fathom_and_switch_nothing_off() -> None:
    from torch.fx import symbolic_trace
    from torch.fx.experimental.proxy_tensor import make_fx

    class Custom(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    model = nn.Sequential(nn.Linear(3, 4), Custom(), nn.Linear(4, 2))
    batch = torch.randn(5, 3)
    plain = len(make_fx(model)(batch).graph.nodes)
    with fathom.watch(model, layers=["*", "1"], budget=None) as monitor:
        assert len(make_fx(model)(batch).graph.nodes) == plain
        symbolic_trace(model)
        model(batch)
        snapshot = monitor.snapshot(0)
    assert snapshot.disabled == {}
    assert {each.rows for each in snapshot.train.values()} == {5}


def test_every_counts_calls_of_the_root_apart_from_calls_of_parts() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with fathom.watch(model, every=3, budget=None) as monitor:
        for _ in range(4):
            model(torch.randn(5, 3))
        for _ in range(6):
            model[0](torch.randn(5, 3))
        readings = monitor.snapshot(0).train
    assert readings["1"].calls == 2
    # Of its own 6 calls, which follow 4 others, the third and the sixth.
    assert readings["0"].calls == 4


def test_files_of_the_users_stay_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    (folder / "covariances" / "mine").mkdir(parents=True)
    mine = [folder / "thesis.tex", folder / "covariances" / "mine.npy"]
    for path in mine:
        path.write_text("mine")
    model = nn.Linear(3, 4)
    for options in ({}, {"resume": True}, {"resume_from": 0}):
        with fathom.watch(model, folder, keep="covariance", **options, budget=None) as monitor:
            model(torch.randn(5, 3))
            monitor.snapshot(7)
        if options == {}:
            fathom.watch(model, folder, resume_from=0, budget=None).close()
    assert all(path.read_text() == "mine" for path in mine)
