"""Experiments as files say them: those that ship, and a user's own."""

from pathlib import Path
from typing import Any

import pytest

from fathom.errors import ArgumentError
from fathom.experiments.data.load import described
from fathom.experiments.models.build import ARCHITECTURES
from fathom.experiments.spec import Spec

OWN = """
title = "Mine"
papers = "none"
repetitions = 2

[[grid]]
data = ["digits"]
classes = [2, 10]
model = ["dense"]
width = [8, 16]

[[grid]]
data = ["seven-vs-nine"]
clutter = [0.5]
model = ["vgg11"]
width = [0.25]

[training]
epochs = 3
batch = 64
learning_rate = 0.01
augment = false

[record]
conv = "mean"
probes = true
"""

GRID = '[[grid]]\ndata = ["digits"]\nmodel = ["dense"]\nwidth = [8]\n'


def own(folder: Path, text: str = OWN) -> Spec:
    path = folder / "mine.toml"
    path.write_text(text)
    return Spec.find(str(path))


def test_the_experiments_of_the_papers_ship() -> None:
    assert [each.name for each in Spec.all()] == [
        "autoencoder-bottleneck",
        "classes-by-width",
        "clutter-by-width",
        "dense-width",
        "emergence",
        "tail",
        "vgg-grid",
    ]
    for spec in Spec.all():
        assert spec == Spec.find(spec.name)
        assert spec.title
        assert spec.papers
        tasks = spec.tasks()
        assert len({task.name for task in tasks}) == len(tasks)
        assert {task.model for task in tasks} <= ARCHITECTURES.keys()
        assert {task.data for task in tasks} <= described().keys()


def test_the_grid_of_dense_networks_is_that_of_the_paper() -> None:
    tasks = Spec.find("dense-width").tasks()
    assert len(tasks) == 2 * 5 * 5
    assert {task.width for task in tasks} == {8, 16, 32, 64, 128}
    assert (tasks[0].training.epochs, tasks[0].training.batch) == (20, 128)
    assert tasks[0].training.learning_rate == 1e-3


def test_all_first_repetitions_come_before_the_second_ones(tmp_path: Path) -> None:
    names = [task.name for task in own(tmp_path).tasks()]
    assert names == [
        f"{cell}_r{repetition}"
        for repetition in range(2)
        for cell in (
            "digits_2-classes_dense_w8",
            "digits_2-classes_dense_w16",
            "digits_10-classes_dense_w8",
            "digits_10-classes_dense_w16",
            "seven-vs-nine_clutter0.5_vgg11_w0.25",
        )
    ]


def test_every_key_of_a_file_reaches_its_tasks(tmp_path: Path) -> None:
    spec = own(tmp_path)
    assert (spec.name, spec.title, spec.papers) == ("mine", "Mine", "none")
    task = spec.tasks()[-1]
    assert task.to_body() == {
        "data": "seven-vs-nine",
        "model": "vgg11",
        "width": 0.25,
        "classes": None,
        "clutter": 0.5,
        "repetition": 1,
        "training": {"epochs": 3, "batch": 64, "learning_rate": 0.01, "augment": False},
        "record": {"conv": "mean", "probes": True},
    }


def test_what_a_file_does_not_say_is_as_in_the_paper(tmp_path: Path) -> None:
    task = own(tmp_path, GRID).tasks()[-1]
    assert task.repetition == 4
    assert (task.training.epochs, task.training.batch, task.training.augment) == (20, 128, True)
    assert (task.record.conv, task.record.probes) == ("positions", False)


def test_a_training_in_two_grids_is_one(tmp_path: Path) -> None:
    assert len(own(tmp_path, GRID + GRID).tasks()) == 5


def test_an_axis_is_replaced_in_every_grid(tmp_path: Path) -> None:
    spec = own(tmp_path).changed(
        repetitions=1, epochs=7, data=["digits"], model=["dense"], width=[4], classes=[3]
    )
    assert [(task.name, task.training.epochs) for task in spec.tasks()] == [
        ("digits_3-classes_dense_w4_r0", 7),
        ("digits_3-classes_clutter0.5_dense_w4_r0", 7),
    ]


def test_nothing_changed_is_the_same(tmp_path: Path) -> None:
    spec = own(tmp_path)
    assert spec.changed(data=[], width=[]) == spec


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repetitions": 0}, r"repetitions must be a whole number of at least 1, got 0"),
        ({"epochs": 0}, r"epochs must be a whole number of at least 1, got 0"),
        ({"clutter": [2.0]}, r"clutter must be in \[0, 1\], got 2\.0"),
        ({"classes": [1]}, r"classes must be whole and at least 2, got 1"),
        ({"model": ["dense"]}, r"width must be a whole number of units, at least 1, got 0\.25"),
        ({"model": ["vgg12"]}, r"model must be known, got 'vgg12'.*vgg11"),
        ({"data": [""]}, r"data must be a name in quotes, got ''"),
    ],
)
def test_a_change_against_a_rule_is_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        own(tmp_path).changed(**change)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", r"mine: the file must be TOML, got"),
        ("", r"mine: \[\[grid\]\] must be there at least once, got None"),
        ("[grid]\n" + GRID.partition("\n")[2], r"mine: \[\[grid\]\] must be there"),
        ("titel = 'x'\n" + GRID, r"mine: a key must be known, got 'titel'\. There are: title"),
        ("title = 3\n" + GRID, r"mine: title must be a text in quotes, got 3"),
        ("repetitions = true\n" + GRID, r"repetitions must be a whole number.*got True"),
        (GRID + "depth = [3]", r"mine: grid: a key must be known, got 'depth'"),
        (GRID.replace("[8]", "8"), r"mine: grid: width must be a list with a value, got 8"),
        (GRID.replace("[8]", "[]"), r"mine: grid: width must be a list with a value, got \[\]"),
        (GRID.replace("[8]", "['8']"), r"mine: grid: width must be a number above 0, got '8'"),
        (GRID.replace("[8]", "[8.5]"), r"mine: grid: width must be a whole number of units"),
        (GRID + "[training]\nepoch = 3", r"mine: training: a key must be known, got 'epoch'"),
        (GRID + "[training]\nlearning_rate = 0", r"mine: training: learning_rate must be above 0"),
        (GRID + "[training]\nbatch = 1", r"mine: training: batch must be .*at least 2, got 1"),
        (GRID + "[record]\nprobes = 1", r"mine: record: probes must be true or false, got 1"),
        (GRID + "[record]\nconv = 'all'", r"mine: record: conv must be one of .*got 'all'"),
    ],
)
def test_a_file_against_a_rule_is_refused_by_place_and_value(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        own(tmp_path, text)


def test_an_unknown_name_lists_some_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"got 'dense'\. There are: dense-width"):
        Spec.find("dense")
    with pytest.raises(ArgumentError, match=r"none\.toml must be a file that can be read"):
        Spec.find(str(tmp_path / "none.toml"))


def test_two_tasks_of_one_name_are_refused() -> None:
    spec = Spec.find("vgg-grid").changed(width=[0.1234567, 0.1234568])
    with pytest.raises(ArgumentError, match=r"differ in six digits, got 0.1234567 and 0.1234568"):
        spec.tasks()
