"""Reading a run changes nothing of it, whatever state a training left it in."""

import errno
import fcntl
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest
import torch
from torch import nn

import fathom
from fathom.store.follow import Follower
from fathom.store.lock import is_written

STEPS = 3


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4))


def record(folder: Path, *steps: int, resume: bool = False) -> None:
    model = network()
    with fathom.watch(model, folder, budget=None, resume=resume) as monitor:
        for step in steps:
            model(torch.randn(40, 6))
            monitor.snapshot(step)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    record(tmp_path / "run", *range(STEPS))
    return tmp_path / "run"


@pytest.fixture
def killed(finished: Path, tmp_path: Path) -> Path:
    """A run whose training was killed in the middle of a transaction, with a rollback journal."""
    connection = sqlite3.connect(finished / "run.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = delete")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE readings SET eigenvalues = randomblob(length(eigenvalues))")
    connection.execute("UPDATE sessions SET body = body || randomblob(20000)")
    folder = Path(shutil.copytree(finished, tmp_path / "killed"))
    connection.execute("ROLLBACK")
    connection.close()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("state", ["finished", "killed"])
def test_nothing_of_a_run_is_changed_and_nothing_put_beside_it(
    state: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(state)
    before = content(folder)
    with fathom.open_run(folder) as run:
        assert run.steps == list(range(STEPS))
        assert run.damaged == []
        assert content(folder) == before
    assert content(folder) == before


def test_a_journal_that_names_another_file_is_refused_and_that_file_is_safe(
    killed: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "precious"
    victim.write_text("data")
    name = str(victim).encode()
    # As SQLite writes the name of the journal that several databases share.
    tail = struct.pack(">I", 0x40000000 // 4096 + 1) + name
    tail += struct.pack(">II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    journal = killed / "run.sqlite-journal"
    journal.write_bytes(journal.read_bytes() + tail)
    with pytest.raises(fathom.RunError, match="names another file"):
        fathom.open_run(killed)
    assert victim.read_text() == "data"
    assert journal.exists()


@pytest.mark.parametrize("state", ["finished", "killed"])
def test_a_run_that_is_gone_on_with_is_read_on(state: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(state)
    follower = Follower(folder)
    follower.look()
    with fathom.open_run(folder) as run:
        timeline = run.timeline()
        assert run.steps == timeline.steps == list(range(STEPS))
        record(folder, STEPS, resume=True)
        assert run.steps == list(range(STEPS + 1))
        assert timeline.refresh()
        assert timeline.steps == run.steps
        assert not timeline.refresh()
    assert follower.look()
    assert follower.timeline is not None
    assert follower.timeline.steps == list(range(STEPS + 1))
    follower.close()


def test_a_run_is_read_while_it_is_written_and_after(finished: Path) -> None:
    model = network()
    with (
        fathom.open_run(finished) as run,
        fathom.watch(model, finished, budget=None, resume=True) as monitor,
    ):
        for step in range(STEPS, STEPS + 3):
            model(torch.randn(40, 6))
            monitor.snapshot(step).wait()
            assert run.steps[-1] == step
        monitor.close()
        assert run.steps == list(range(STEPS + 3))
        assert run.damaged == []


def test_where_there_are_no_locks_no_run_is_live(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert not is_written(finished)
