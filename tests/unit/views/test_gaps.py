from collections.abc import Iterator
from pathlib import Path

import fathom
from fathom.reading import Reading
from fathom.views.gaps import Gap, gaps
from made_runs import made_reading, made_run


def found(path: Path) -> list[Gap]:
    with fathom.open_run(path) as run:
        return gaps(run.timeline())


def test_layers_that_come_go_and_skip_are_told_once_for_each_phase(tmp_path: Path) -> None:
    there = {
        "always": range(6),
        "late": range(2, 6),
        "later": range(2, 6),
        "early": range(3),
        "often": (0, 2, 3, 5),
    }

    def readings(step: int) -> Iterator[Reading]:
        for name, steps in there.items():
            if step in steps:
                yield made_reading(name, dimension=3)
        # In this phase nothing was read but at two of the steps.
        if step in (1, 5):
            yield made_reading("always", dimension=3, phase="train")

    path = made_run(tmp_path / "run", range(6), lambda step: list(readings(step)))
    assert found(path) == [
        Gap("No reading at any step (train)", ("early", "often", "late", "later")),
        Gap("No reading after step 2 (eval)", ("early",)),
        Gap("No reading at 2 of 6 steps (eval)", ("often",)),
        Gap("No reading before step 2 (eval)", ("late", "later")),
    ]


def test_nothing_is_missing_of_a_whole_run_of_one_phase_or_of_an_empty_one(tmp_path: Path) -> None:
    whole = made_run(tmp_path / "whole", range(3), lambda step: [made_reading("a", dimension=3)])
    assert found(whole) == []
    assert found(made_run(tmp_path / "empty", [], lambda step: [])) == []
