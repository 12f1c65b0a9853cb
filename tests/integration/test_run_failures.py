"""A wrong path is refused at once; a fault in the middle of training never raises."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fathom
from preloaded import done

# Trains until no file may grow any more, as on a full disk, and on from there.
FULL_DISK = """
import json, resource, signal, sys, warnings
from pathlib import Path
import torch, fathom

folder, keep, room = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
returned, rows, recorded = 0, 0, []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with fathom.watch(model, folder, keep=keep, budget=None) as monitor:
        for step in range(60):
            if step == 5:
                largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                limit = (largest if keep == "spectrum" else 0) + room
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            loss = model(torch.randn(100, 8)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            snapshot = monitor.snapshot(step=step, loss=loss).wait()
            returned += 1
            rows += snapshot.train["2"].rows
            if not caught:
                recorded.append(step)
print(json.dumps({
    "returned": returned, "rows": rows, "recorded": recorded,
    "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
    "hooks": sum(len(module._forward_hooks) for module in model.modules()),
}))
"""

# Reads runs as a user who may not write where they lie.
READER = """
import json, os, sys
import torch, fathom

if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
answers = {}
for folder in sys.argv[1:]:
    assert not os.access(folder, os.W_OK), folder
    with fathom.open_run(folder) as run:
        saturation = run.statistic("saturation", phase="train").tolist()
        answers[folder] = [run.steps, saturation, run.damaged]
    model = torch.nn.Linear(2, 2)
    for path in (folder, folder + "/below"):
        try:
            fathom.watch(model, path, resume=True)
        except fathom.RunError as error:
            answers[folder].append(str(error))
    assert not model._forward_hooks
print(json.dumps(answers))
"""


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def begun(folder: Path, steps: int = 3) -> Path:
    model = small()
    with fathom.watch(model, folder, budget=None) as monitor:
        record(monitor, model, range(steps))
    return folder


def record(monitor: fathom.Monitor, model: nn.Module, steps: range) -> None:
    for step in steps:
        model(torch.randn(30, 3))
        monitor.snapshot(step=step, loss=step / 7).wait()


def answer(script: str, *arguments: object) -> dict[str, Any]:
    told = done("-c", script, *arguments)
    assert told.returncode == 0, told.stderr
    result: dict[str, Any] = json.loads(told.stdout)
    return result


@pytest.mark.parametrize(("keep", "room"), [("spectrum", 20_000), ("covariance", 30_000)])
def test_a_full_disk_stops_the_recording_and_not_the_training(
    tmp_path: Path, keep: str, room: int
) -> None:
    folder = tmp_path / "run"
    told = answer(FULL_DISK, folder, keep, room)
    assert (told["returned"], told["rows"], told["hooks"]) == (60, 6000, 0)
    assert len(told["warnings"]) == 1
    step = len(told["recorded"])
    assert 5 <= step < 60
    assert told["warnings"][0].startswith(
        f"FathomWarning: fathom: step {step} could not be recorded and recording stops"
    )
    with fathom.open_run(folder) as run:
        assert run.steps == told["recorded"]
        assert run.damaged == []
        assert not np.isnan(run.statistic("saturation", phase="train")).any()
        assert len(run.metrics["loss"]) == step
        if keep == "covariance":
            assert run.covariance("0", phase="train")[0].shape == (64, 64)
            files = sorted(path.name for path in (folder / "covariances").iterdir())
            assert files == [f"{recorded:08d}.safetensors" for recorded in told["recorded"]]
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8))
    with fathom.watch(model, folder, resume=True, budget=None) as monitor:
        model(torch.randn(9, 8))
        monitor.snapshot(step=step)
    with fathom.open_run(folder) as run:
        assert run.steps == list(range(step + 1))


def lock(folder: Path) -> None:
    """Hold the database, as a backup program might."""
    connection = sqlite3.connect(folder / "run.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    _HELD.append(connection)


def drop_a_table(folder: Path) -> None:
    connection = sqlite3.connect(folder / "run.sqlite")
    connection.execute("DROP TABLE readings")
    connection.close()


_HELD: list[sqlite3.Connection] = []


@pytest.fixture
def _released() -> Iterator[None]:
    yield
    while _HELD:
        _HELD.pop().close()


@pytest.mark.usefixtures("_released")
@pytest.mark.parametrize("fault", [lock, drop_a_table, shutil.rmtree], ids=lambda f: f.__name__)
def test_a_fault_on_disk_warns_once_and_stops_the_recording(
    tmp_path: Path, fault: Callable[[Path], object]
) -> None:
    model = small()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        record(monitor, model, range(2))
        fault(tmp_path / "run")
        model(torch.randn(30, 3))
        with pytest.warns(fathom.FathomWarning, match="step 2 could not be recorded") as caught:
            snapshot = monitor.snapshot(step=2).wait()
        assert len(caught) == 1
        assert snapshot.train["0"].rows == 30
        record(monitor, model, range(3, 6))
    assert hooks(model) == 0


def file_at(path: Path) -> Path:
    path.write_text("a file")
    return path


@pytest.mark.parametrize(
    "place",
    [
        lambda folder: file_at(folder / "run"),
        lambda folder: file_at(folder / "file") / "run",
        lambda folder: file_at(folder / "file") / "deeper" / "run",
        lambda folder: Path("/proc/fathom/run"),
        lambda folder: Path("/dev/null"),
    ],
    ids=["a file", "through a file", "deep through a file", "not writable", "a device"],
)
@pytest.mark.parametrize("resume", [False, True])
def test_a_path_that_cannot_hold_a_run_is_refused_at_watch(
    tmp_path: Path, place: Callable[[Path], Path], resume: bool
) -> None:
    path, model = place(tmp_path), small()
    with pytest.raises(fathom.RunError, match=r"watch: run must be") as caught:
        fathom.watch(model, path, resume=resume, budget=None)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert hooks(model) == 0


@pytest.mark.parametrize("content", [b"", b"no database" * 500])
def test_a_file_in_the_place_of_the_database_is_not_overwritten(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "run.sqlite").write_bytes(content)
    model = small()
    with pytest.raises(fathom.RunExistsError):
        fathom.watch(model, tmp_path, budget=None)
    if content:
        with pytest.raises(fathom.RunError, match="watch: run must be"):
            fathom.watch(model, tmp_path, resume=True, budget=None)
    assert hooks(model) == 0
    assert (tmp_path / "run.sqlite").read_bytes() == content


def test_covariances_are_kept_only_in_a_run() -> None:
    model = small()
    with pytest.raises(fathom.ArgumentError, match=r"keep='covariance'.*run=None"):
        fathom.watch(model, keep="covariance", budget=None)
    assert hooks(model) == 0


@pytest.mark.parametrize(
    "value",
    ["0.5", b"0.5", None, [0.5], 1j, torch.ones(2), torch.ones(0), np.ones(3), 10**400, object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_is_refused_and_nothing_is_lost(tmp_path: Path, value: Any) -> None:
    model = nn.Linear(2, 2)
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(torch.randn(6, 2))
        with pytest.raises(fathom.ArgumentError, match="snapshot: accuracy must be a number"):
            monitor.snapshot(step=0, accuracy=value)
        assert monitor.snapshot(step=0, accuracy=0.5).train[""].rows == 6
    with fathom.open_run(tmp_path / "run") as run:
        assert run.metrics["accuracy"].tolist() == [0.5]
        assert run.spectrum("", phase="train").rows == 6


@pytest.mark.parametrize("step", [0.5, "1", None, True, 2**63, -(2**63) - 1], ids=repr)
def test_what_is_no_step_is_refused_and_nothing_is_lost(tmp_path: Path, step: Any) -> None:
    model = nn.Linear(2, 2)
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(torch.randn(6, 2))
        with pytest.raises(fathom.ArgumentError, match="snapshot: step must"):
            monitor.snapshot(step=step)
        assert monitor.snapshot(step=0).train[""].rows == 6
    with fathom.open_run(tmp_path / "run") as run:
        assert run.spectrum("", phase="train").rows == 6


def empty_folder(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "missing"


def another_database(folder: Path, version: int = 0) -> Path:
    connection = sqlite3.connect(folder / "run.sqlite")
    connection.execute("CREATE TABLE orders (number INTEGER)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return folder


def same_version(folder: Path) -> Path:
    return another_database(folder, version=1)


def empty_database(folder: Path) -> Path:
    (folder / "run.sqlite").touch()
    return folder


@pytest.mark.parametrize(
    "place", [missing, empty_folder, file_at, another_database, same_version, empty_database]
)
def test_where_no_run_is_none_is_opened(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    folder = tmp_path / "place"
    if place is not file_at:
        folder.mkdir()
    path = place(folder)
    with pytest.raises(fathom.RunNotFoundError, match=r"open_run: path must be") as caught:
        fathom.open_run(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


def test_runs_one_folder_deeper_are_named(tmp_path: Path) -> None:
    runs = [begun(tmp_path / name, steps=0) for name in ("one", "two")]
    with pytest.raises(fathom.RunNotFoundError) as caught:
        fathom.open_run(tmp_path)
    assert all(str(run) in str(caught.value) for run in runs)


def test_garbage_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(fathom.RunError, match=r"run\.sqlite must be readable"):
        fathom.open_run(tmp_path)


def test_a_newer_schema_is_named_and_not_touched(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    connection = sqlite3.connect(folder / "run.sqlite")
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(fathom.RunError, match=r"schema version 1, got 2"):
        fathom.open_run(folder)
    with pytest.raises(fathom.RunError, match=r"schema version 1, got 2"):
        fathom.watch(small(), folder, resume=True, budget=None)


@pytest.mark.parametrize(
    ("read", "error", "message"),
    [
        (lambda run: run.spectrum("1"), fathom.RunNotFoundError, "got '1'.*There are: 0, 2"),
        (lambda run: run.spectrum("0", step=7), fathom.RunNotFoundError, "got 7.*from 0 to 2"),
        (lambda run: run.spectrum("0", phase="eval"), fathom.RunNotFoundError, "step 2 in eval"),
        (lambda run: run.spectrum("0", phase="test"), fathom.ArgumentError, "train, eval"),
        (lambda run: run.snapshot(7), fathom.RunNotFoundError, "got 7"),
        (lambda run: run.snapshot(1, threshold=1.2), fathom.ArgumentError, "got 1.2"),
        (lambda run: run.covariance("0", step=7), fathom.RunNotFoundError, "got 7"),
        (lambda run: run.statistic("rank"), fathom.ArgumentError, "saturation.*got 'rank'"),
        (lambda run: run.statistic("saturation", phase="x"), fathom.ArgumentError, "got 'x'"),
        (lambda run: run.statistic("saturation", threshold=0.0), fathom.ArgumentError, "got 0.0"),
    ],
)
def test_what_the_run_does_not_have_is_named(
    tmp_path: Path, read: Callable[[fathom.Run], object], error: type[Exception], message: str
) -> None:
    with (
        fathom.open_run(begun(tmp_path / "run")) as run,
        pytest.raises(error, match=message),
    ):
        read(run)


def test_a_run_without_a_snapshot_has_no_last_step(tmp_path: Path) -> None:
    with fathom.open_run(begun(tmp_path / "run", steps=0)) as run:
        for read in (run.snapshot, lambda: run.spectrum("0"), lambda: run.covariance("0")):
            with pytest.raises(fathom.RunNotFoundError, match="none yet"):
                read()


def test_a_closed_run_says_so(tmp_path: Path) -> None:
    run = fathom.open_run(begun(tmp_path / "run"))
    run.close()
    run.close()
    for read in (lambda: run.steps, lambda: run.metrics, lambda: run.statistic("saturation")):
        with pytest.raises(fathom.ClosedError, match="run"):
            read()


def test_finished_runs_are_read_where_nothing_may_be_written() -> None:
    # Not the folder of pytest, which is closed to the user that the reader becomes.
    with tempfile.TemporaryDirectory() as place:
        finished, watched = Path(place, "finished"), Path(place, "watched")
        begun(finished)
        model = small()
        with fathom.watch(model, watched, budget=None) as monitor:
            run = fathom.open_run(watched)
            record(monitor, model, range(3))
            assert run.steps == [0, 1, 2]
        run.close()
        with fathom.open_run(finished) as run:
            wanted = run.statistic("saturation", phase="train").tolist()
        for folder in (finished, watched, Path(place)):
            folder.chmod(0o555)
        try:
            answers = answer(READER, finished, watched)
        finally:
            for folder in (Path(place), finished, watched):
                folder.chmod(0o755)
    for steps, saturation, damaged, *refusals in answers.values():
        assert (steps, damaged) == ([0, 1, 2], [])
        assert np.shape(saturation) == (3, 2)
        assert len(refusals) == 2
        assert all(refusal.startswith("watch: run must be writable") for refusal in refusals)
    assert answers[str(finished)][1] == wanted
