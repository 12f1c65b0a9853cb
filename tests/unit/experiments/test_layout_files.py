"""The small files of an experiment: where they are, and that they are whole or not there."""

from pathlib import Path

import pytest

from fathom.errors import ExperimentError
from fathom.experiments.layout import Layout, read_json, write_json
from fathom.experiments.task import Task

TASK = Task(data="digits", model="dense", width=8)


def test_every_file_of_a_task_is_in_its_own_folder(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    files = [
        layout.asked(TASK), layout.done(TASK), layout.failed(TASK), layout.progress(TASK),
        layout.checkpoint(TASK), layout.lock(TASK),
    ]  # fmt: skip
    assert {each.parent for each in files} == {tmp_path / "tasks" / TASK.name}
    assert len(set(files)) == len(files)
    assert layout.run(TASK) == tmp_path / "runs" / "digits_dense_w8_r0"
    assert layout.plan == tmp_path / "experiment.json"
    assert layout.figures == tmp_path / "figures"


def test_what_is_written_is_read_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "done.json"
    write_json(path, {"seconds": 1.5, "device": "cpu"})
    write_json(path, {"seconds": 2.5})
    assert read_json(path) == {"seconds": 2.5}
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    write_json(path, {"seconds": 1.5})
    with pytest.raises(TypeError):
        write_json(path, {"seconds": object()})
    assert read_json(path) == {"seconds": 1.5}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "done.json") is None


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "\x00"])
def test_a_file_of_something_else_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "done.json"
    path.write_text(text)
    with pytest.raises(ExperimentError, match=r"done\.json must hold what fathom wrote, got"):
        read_json(path)
