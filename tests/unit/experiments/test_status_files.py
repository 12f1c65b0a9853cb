"""How far an experiment is, from files alone."""

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fathom.errors import ExperimentError
from fathom.experiments.layout import Layout, write_json
from fathom.experiments.status import cells, counts, last_line, progress
from fathom.experiments.task import Task, Training

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def task(width: float, repetition: int = 0, **others: object) -> Task:
    return Task(
        data="digits",
        model="dense",
        width=width,
        repetition=repetition,
        training=Training(epochs=20),
        **others,  # type: ignore[arg-type]
    )


@contextmanager
def held(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A lock that another process holds, as a worker does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_a_task_is_what_its_files_say(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    done, failed, running, waiting, cut_off = (task(8, n) for n in range(5))
    write_json(layout.done(done), {"seconds": 12.5, "epochs": 20, "test_accuracy": 0.75})
    # A failed one was begun, and a finished one may have failed before.
    for each in (done, failed, running):
        layout.failed(each).parent.mkdir(parents=True, exist_ok=True)
        layout.failed(each).write_text("Traceback\n  line\nValueError: no\n\n")
    layout.lock(failed).touch()
    write_json(layout.progress(running), {"epoch": 7, "epochs": 20, "seconds": 3.5})
    write_json(layout.progress(cut_off), {"epoch": 2, "epochs": 20, "seconds": 1.0})
    layout.lock(cut_off).touch()
    with held(layout.lock(running)):
        found = progress(layout, [done, failed, running, waiting, cut_off])
    assert [(each.state, each.epochs, each.seconds) for each in found[:3]] == [
        ("done", 20, 12.5),
        ("failed", 0, 0.0),
        ("running", 7, 3.5),
    ]
    assert [(each.state, each.epochs) for each in found[3:]] == [("waiting", 0), ("waiting", 2)]
    assert found[0].accuracy == 0.75
    assert all(math.isnan(each.accuracy) for each in found[1:])
    assert counts(found) == {"done": 1, "running": 1, "failed": 1, "waiting": 2}
    assert last_line(layout, failed) == "ValueError: no"
    assert last_line(layout, waiting) == ""
    # Whoever held the lock was killed, and tried it when it had failed before.
    assert [each.state for each in progress(layout, [running])] == ["failed"]


def test_asking_takes_no_lock_from_a_worker_and_makes_no_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    progress(layout, [task(8)])
    assert list(tmp_path.iterdir()) == []
    with held(layout.lock(task(8))):
        assert [each.state for each in progress(layout, [task(8)])] == ["running"]
        assert [each.state for each in progress(layout, [task(8)])] == ["running"]


def test_an_autoencoder_has_no_accuracy(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_json(layout.done(task(8)), {"seconds": 1.0, "epochs": 20, "test_loss": 0.5})
    (found,) = progress(layout, [task(8)])
    assert math.isnan(found.accuracy)
    (cell,) = cells([found])
    assert cell.seconds == 1.0
    assert math.isnan(cell.accuracy)


def test_repetitions_are_gathered_in_the_order_of_the_first(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tasks = [task(width, repetition) for repetition in range(2) for width in (16, 8)]
    tasks.append(task(8, 0, classes=4, clutter=0.25))
    write_json(layout.done(tasks[0]), {"seconds": 1.0, "epochs": 20, "test_accuracy": 0.5})
    write_json(layout.done(tasks[2]), {"seconds": 2.0, "epochs": 20, "test_accuracy": 0.75})
    first, second, third = cells(progress(layout, tasks))
    assert [each.task.name for each in first.tasks] == [
        "digits_dense_w16_r0",
        "digits_dense_w16_r1",
    ]
    assert (first.problem, first.seconds, first.accuracy, first.underway) == (
        "digits", 1.5, 0.625, [],
    )  # fmt: skip
    assert [each.task.width for each in second.tasks] == [8, 8]
    assert math.isnan(second.seconds)
    assert third.problem == "digits, 4 classes, clutter 0.25"


def test_epochs_of_what_runs_are_told_by_cell(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_json(layout.progress(task(8, 1)), {"epoch": 7, "epochs": 20, "seconds": 3.5})
    with held(layout.lock(task(8, 1))):
        (cell,) = cells(progress(layout, [task(8, 0), task(8, 1)]))
    assert cell.underway == cell.begun == [7]


def test_epochs_of_what_was_stopped_are_told_too(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_json(layout.progress(task(8, 1)), {"epoch": 7, "epochs": 20, "seconds": 3.5})
    (cell,) = cells(progress(layout, [task(8, 0), task(8, 1)]))
    assert (cell.underway, cell.begun) == ([], [7])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.done(task(8)).parent.mkdir(parents=True)
    layout.done(task(8)).write_text("{")
    with pytest.raises(ExperimentError, match=r"done\.json must hold what fathom wrote"):
        progress(layout, [task(8)])
