"""However a training ends, what is under way is finished and recorded, or was never called done."""

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import fathom
from fathom import background
from held import Gate, Notes, held_decompositions


@pytest.fixture
def gate() -> Iterator[Gate]:
    with held_decompositions() as gate:
        yield gate


@pytest.fixture(params=["close", "with", "an exception"])
def ending(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_end_waits_for_the_rest(gate: Gate, tmp_path: Path, ending: str) -> None:
    model, notes = nn.Linear(3, 4), Notes()
    monitor = fathom.watch(model, tmp_path / "run", sinks=[notes], budget=None)
    model(torch.randn(9, 3))
    snapshot = monitor.snapshot(step=0)
    gate.open_soon()
    if ending == "close":
        monitor.close()
    elif ending == "with":
        with monitor:
            pass
    else:
        with pytest.raises(ZeroDivisionError), monitor:
            raise ZeroDivisionError
    assert snapshot.done
    assert monitor.closed
    assert notes.steps == [0]
    assert notes.closed.is_set()
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0]


def interrupt_soon() -> None:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_a_close_that_is_interrupted_leaves_the_next_to_finish(gate: Gate, tmp_path: Path) -> None:
    model, notes = nn.Linear(3, 4), Notes()
    monitor = fathom.watch(model, tmp_path / "run", sinks=[notes], budget=None)
    model(torch.randn(9, 3))
    monitor.snapshot(step=0)
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        monitor.close()
    assert not model._forward_hooks
    assert not monitor.closed
    assert not notes.closed.is_set()
    gate.open_soon()
    monitor.close()
    assert monitor.closed
    assert notes.steps == [0]
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0]
        assert run.damaged == []


def test_a_snapshot_that_is_interrupted_while_it_waits_loses_no_row(gate: Gate) -> None:
    model, notes = nn.Linear(3, 4), Notes()
    with fathom.watch(model, sinks=[notes], budget=None) as monitor:
        model(torch.randn(9, 3))
        first = monitor.snapshot(step=0)
        model(torch.randn(5, 3))
        for wait in (lambda: monitor.snapshot(step=1), first.wait, lambda: first.train):
            interrupt_soon()
            with pytest.raises(KeyboardInterrupt):
                wait()
        gate.open()
        assert monitor.snapshot(step=1).train[""].rows == 5
    assert notes.steps == [0, 1]


def test_a_signal_handler_may_take_a_snapshot_while_another_waits(gate: Gate) -> None:
    def handler(number: int, frame: object) -> None:
        gate.open()
        taken.append(monitor.snapshot(step=1))

    taken: list[fathom.Snapshot] = []
    model, notes = nn.Linear(3, 4), Notes()
    with fathom.watch(model, sinks=[notes], budget=None) as monitor:
        model(torch.randn(9, 3))
        taken.append(monitor.snapshot(step=0))
        model(torch.randn(5, 3))
        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            taken.append(monitor.snapshot(step=2))
        finally:
            signal.signal(signal.SIGALRM, before)
    assert [each.step for each in taken] == notes.steps == [0, 1, 2]
    assert [each.train[""].rows for each in taken[:2]] == [9, 5]
    assert taken[2].unobserved == ("",)


@pytest.mark.parametrize("patience", [60.0, 0.0], ids=["in time", "too late"])
def test_a_monitor_that_nobody_holds_has_its_last_snapshot_recorded(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(background, "_PATIENCE", patience)
    model, notes = nn.Linear(3, 4), Notes()
    monitor = fathom.watch(model, tmp_path / "run", sinks=[notes], budget=None)
    model(torch.randn(9, 3))
    snapshot = monitor.snapshot(step=0)
    gone = weakref.ref(monitor)
    if patience:
        gate.open_soon()
    del monitor
    gc.collect()
    assert gone() is None
    assert not model._forward_hooks
    assert notes.closed.is_set() == bool(patience)
    gate.open()
    assert snapshot.train[""].rows == 9
    assert notes.closed.wait(60)
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0]
    if patience:
        fathom.watch(model, tmp_path / "run", resume=True, budget=None).close()


def test_a_monitor_may_go_in_the_thread_that_works_for_it(tmp_path: Path) -> None:
    class Collecting(Notes):
        def write(self, snapshot: fathom.Snapshot) -> None:
            super().write(snapshot)
            assert dropped.wait(60)
            gc.collect()

    dropped, model, notes = threading.Event(), nn.Linear(3, 4), Collecting()
    monitor = fathom.watch(model, tmp_path / "run", sinks=[notes], budget=None)
    model(torch.randn(9, 3))
    snapshot = monitor.snapshot(step=0)
    cycle = [monitor]
    cycle.append(cycle)  # type: ignore[arg-type]
    gc.disable()
    try:
        del monitor, cycle
        dropped.set()
        snapshot.wait()
    finally:
        gc.enable()
    assert notes.closed.wait(60)
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0]


def answer(script: str, folder: Path, code: int = 0) -> list[str]:
    command = [sys.executable, "-W", "error", "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert code or not done.stderr
    return done.stdout.splitlines()


END = """
import sys, threading, time, torch, fathom
from torch import nn
over = threading.Event()
class Slow:
    def write(self, snapshot): over.wait(); tell("wrote", snapshot.step)
    def close(self): tell("closed")
def tell(*words): time.sleep(0.3); print(*words, flush=True)
model = nn.Linear(3, 4)
monitor = fathom.watch(model, sys.argv[1], sinks=[Slow()])
for step in range(2):
    model(torch.randn(5, 3))
    monitor.snapshot(step)
print("end", flush=True)
over.set()
"""


@pytest.mark.parametrize(
    ("last", "code"), [("", 0), ("sys.exit(3)", 3), ("raise KeyboardInterrupt", 130), ("1 / 0", 1)]
)
def test_python_may_end_without_a_close(tmp_path: Path, last: str, code: int) -> None:
    # Python ends itself with the signal after a Ctrl-C that nobody caught.
    code = -signal.SIGINT if code == 130 else code
    told = answer(END + last, tmp_path / "run", code)
    assert told == ["end", "wrote 0", "wrote 1", "closed"]
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 1]


LATE = """
import atexit, sys, torch, fathom
from torch import nn
model = nn.Linear(3, 4)
monitor = fathom.watch(model, sys.argv[1])
def late():
    model(torch.randn(5, 3))
    print(monitor.snapshot(0).train[""].rows, flush=True)
atexit.register(late)
"""


def test_a_snapshot_may_be_taken_while_python_ends(tmp_path: Path) -> None:
    assert answer(LATE, tmp_path / "run") == ["5"]
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0]


KILLED = """
import os, signal, sys, torch, fathom
from torch import nn
model, eigvalsh = nn.Linear(3, 4), torch.linalg.eigvalsh
def deadly(matrix):
    os.kill(os.getpid(), signal.SIGKILL)
with fathom.watch(model, sys.argv[1]) as monitor:
    for step in range(3):
        model(torch.randn(5, 3))
        print(monitor.snapshot(step).wait().done, flush=True)
    torch.linalg.eigvalsh = deadly
    model(torch.randn(5, 3))
    monitor.snapshot(3).wait()
"""


def test_what_was_done_outlives_a_kill_in_the_middle_of_the_next(tmp_path: Path) -> None:
    assert answer(KILLED, tmp_path / "run", -signal.SIGKILL) == ["True"] * 3
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 1, 2]
        assert run.damaged == []


FORK = """
import os, sys, threading, torch, fathom
from torch import nn
torch.set_num_threads(1)
parent, go = os.getpid(), threading.Event()
class Sink:
    def write(self, snapshot):
        print("sink", os.getpid() == parent, snapshot.step, flush=True)
        assert snapshot.step or go.wait(60)
    def close(self): print("closed", os.getpid() == parent, flush=True)
def wait_in_vain(touch):
    try:
        touch()
    except fathom.ClosedError as error:
        print(error, flush=True)
model, eigvalsh = nn.Linear(3, 4), torch.linalg.eigvalsh
def waiting(matrix):
    assert os.getpid() != parent or go.wait(60)
    return eigvalsh(matrix)
torch.linalg.eigvalsh = waiting
with fathom.watch(model, sys.argv[1], sinks=[Sink()]) as monitor:
    model(torch.randn(5, 3))
    snapshot = monitor.snapshot(0)
    child = os.fork()
    if child == 0:
        model(torch.randn(5, 3))
        own = monitor.snapshot(1)
        assert own.train[""].rows == 5 and own.wait().done and not snapshot.done
        wait_in_vain(snapshot.wait)
        wait_in_vain(lambda: snapshot.train)
        monitor.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    model(torch.randn(5, 3))
    go.set()
    monitor.snapshot(1)
print(fathom.open_run(sys.argv[1]).steps)
"""


def test_a_child_that_is_forked_meanwhile_waits_for_nothing_of_its_parents(tmp_path: Path) -> None:
    refused = (
        "Snapshot: readings must be waited for in the process that took it, got a forked child. "
        "Call wait() before the fork."
    )
    assert answer(FORK, tmp_path / "run") == [
        refused, refused, "sink True 0", "sink True 1", "closed True", "[0, 1]",
    ]  # fmt: skip
