"""A sink that fails, hangs or is slow costs its own numbers, and nothing else."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import fathom
from fathom import sink
from held import Gate, Notes


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


class Held(Notes):
    """Writes once its gate is open."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    def write(self, snapshot: fathom.Snapshot) -> None:
        self.gate.pass_through()
        super().write(snapshot)


class HeldAtTheEnd(Held):
    """Fails, and closes once its gate is open."""

    def write(self, snapshot: fathom.Snapshot) -> None:
        raise OSError("gone")

    def close(self) -> None:
        self.gate.pass_through()
        super().close()


def trained(monitor: fathom.Monitor, model: nn.Module, steps: int = 5) -> None:
    for step in range(steps):
        model(torch.randn(9, 3))
        assert monitor.snapshot(step).train[""].rows == 9


def test_a_sink_that_hangs_keeps_neither_training_nor_run_nor_the_others_waiting(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "_PATIENCE", 0.1)
    model, held, notes = nn.Linear(3, 4), Held(gate), Notes()
    monitor = fathom.watch(model, tmp_path / "run", sinks=[held, notes], budget=None)
    trained(monitor, model)
    with pytest.warns(fathom.FathomWarning, match=r"sink Held was not done .* given up") as told:
        monitor.close()
    assert len(told) == 1
    assert notes.steps == [0, 1, 2, 3, 4]
    assert notes.closed.is_set()
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 1, 2, 3, 4]
    assert not held.closed.is_set()
    gate.open()
    assert held.closed.wait(60), "what it holds is let go of, should it come back"
    assert held.steps == [0]


def test_a_sink_for_which_too_many_wait_is_switched_off_with_one_warning(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "_LENGTH", 2)
    monkeypatch.setattr(sink, "_PATIENCE", 0.0)
    model, held = nn.Linear(3, 4), Held(gate)
    monitor = fathom.watch(model, tmp_path / "run", sinks=[held], budget=None)
    with (
        pytest.warns(fathom.FathomWarning, match=r"Held cannot keep up: 2 .* at step 2") as told,
        monitor,
    ):
        trained(monitor, model)
    assert len(told) == 1
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 1, 2, 3, 4]
    gate.open()
    assert held.closed.wait(60)
    assert held.steps == [0]


def test_a_sink_that_is_slow_for_a_while_gets_everything(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "_LENGTH", 2)
    model, held = nn.Linear(3, 4), Held(gate)
    gate.open_soon()
    with fathom.watch(model, sinks=[held], budget=None) as monitor:
        trained(monitor, model)
    assert held.steps == [0, 1, 2, 3, 4]


def test_nobody_waits_for_the_end_of_a_sink_that_has_failed(gate: Gate) -> None:
    model, held = nn.Linear(3, 4), HeldAtTheEnd(gate)
    with (
        pytest.warns(fathom.FathomWarning, match=r"HeldAtTheEnd failed at step 0 .*gone") as told,
        fathom.watch(model, sinks=[held], budget=None) as monitor,
    ):
        trained(monitor, model)
    assert len(told) == 1
    assert not gate.is_open
    gate.open()
    assert held.closed.wait(60)


def test_an_end_that_is_interrupted_in_a_sink_goes_on_there(gate: Gate) -> None:
    model, held = nn.Linear(3, 4), Held(gate)
    monitor = fathom.watch(model, sinks=[held], budget=None)
    trained(monitor, model)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        monitor.close()
    assert not monitor.closed
    gate.open()
    monitor.close()
    assert monitor.closed
    assert held.steps == [0, 1, 2, 3, 4]
    assert held.closed.is_set()


def test_all_calls_of_a_sink_come_from_one_thread_of_its_own() -> None:
    class Threads(Notes):
        def write(self, snapshot: fathom.Snapshot) -> None:
            threads.append(threading.current_thread())

        def close(self) -> None:
            threads.append(threading.current_thread())

    threads: list[threading.Thread] = []
    model = nn.Linear(3, 4)
    with fathom.watch(model, sinks=[Threads()], budget=None) as monitor:
        trained(monitor, model)
    assert len(threads) == 6
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
    threads[0].join(60)
    assert not threads[0].is_alive()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error", [OSError("gone"), SystemExit(3), KeyboardInterrupt(), Unspeakable()], ids=repr
)
@pytest.mark.parametrize("method", ["write", "close"])
def test_whatever_it_raises_the_others_go_on(error: BaseException, method: str) -> None:
    def failing(*arguments: object) -> None:
        raise error

    model, broken, notes = nn.Linear(3, 4), Notes(), Notes()
    setattr(broken, method, failing)
    with (
        pytest.warns(fathom.FathomWarning, match=f"sink Notes .*{type(error).__name__}") as told,
        fathom.watch(model, sinks=[broken, notes], budget=None) as monitor,
    ):
        trained(monitor, model)
    assert len(told) == 1
    assert notes.steps == [0, 1, 2, 3, 4]
    assert notes.closed.is_set()
    assert broken.steps == ([] if method == "write" else notes.steps)


@dataclasses.dataclass
class Equal:
    """Compares by what it is called."""

    name: str
    steps: list[int] = dataclasses.field(default_factory=list, compare=False)
    fails: bool = dataclasses.field(default=False, compare=False)

    def write(self, snapshot: fathom.Snapshot) -> None:
        if self.fails:
            raise OSError("gone")
        self.steps.append(snapshot.step)

    def close(self) -> None:
        pass


def test_of_two_that_are_equal_the_one_that_fails_is_switched_off() -> None:
    model, sound, broken = nn.Linear(3, 4), Equal("same"), Equal("same", fails=True)
    with (
        pytest.warns(fathom.FathomWarning, match="sink Equal failed at step 0"),
        fathom.watch(model, sinks=[sound, broken], budget=None) as monitor,
    ):
        trained(monitor, model)
    assert sound.steps == [0, 1, 2, 3, 4]


def test_one_that_is_there_twice_gets_each_snapshot_once() -> None:
    model, notes = nn.Linear(3, 4), Notes()
    with fathom.watch(model, sinks=[notes, notes], budget=None) as monitor:
        trained(monitor, model)
    assert notes.steps == [0, 1, 2, 3, 4]


HUNG = """
import threading, torch, fathom
from fathom import sink
sink._PATIENCE = 0.1
class Hung:
    def write(self, snapshot): print("wrote", snapshot.step, flush=True); threading.Event().wait()
    def close(self): print("closed", flush=True)
model = torch.nn.Linear(3, 4)
monitor = fathom.watch(model, sinks=[Hung()])
for step in range(2):
    model(torch.randn(5, 3))
    monitor.snapshot(step)
"""


def test_python_ends_while_a_sink_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HUNG], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "wrote 0\n"), done.stderr
    assert done.stderr.count("sink Hung was not done") == 1


def refusing(server: socket.socket) -> None:
    """Hold a port at which nobody listens."""


def silent(server: socket.socket) -> None:
    """Take a connection, and never answer."""
    server.listen()


MLFLOW = """
import sys, torch, fathom
from fathom import sink
from fathom.sinks import MLflow
sink._PATIENCE = 0.5
model = torch.nn.Linear(3, 4)
sinks = [MLflow(run_id="a" * 32, tracking_uri=sys.argv[1])]
with fathom.watch(model, "run", sinks=sinks, budget=None) as monitor:
    for step in range(5):
        model(torch.randn(9, 3))
        assert monitor.snapshot(step).wait().train[""].rows == 9
print(fathom.open_run("run").steps)
"""


@pytest.mark.parametrize("server", [refusing, silent])
def test_a_server_that_is_gone_ends_no_training(
    server: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        server(there)
        done = subprocess.run(
            [sys.executable, "-c", MLFLOW, f"http://127.0.0.1:{there.getsockname()[1]}"],
            cwd=tmp_path,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            check=False,
            # Left to itself, MLflow tries for four minutes.
            timeout=120,
        )
    assert (done.returncode, done.stdout) == (0, "[0, 1, 2, 3, 4]\n"), done.stderr
    assert done.stderr.count("sink MLflow was not done") == 1
