"""No two runs are called the same, however long their names."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fathom.views.names import cut, run_labels, run_names

LONG = "vgg16-cifar10-lr{}-wd0.0005-batch256-augment-seed0"

_PARTS = st.lists(st.sampled_from(["a", "b", "x" * 50 + "a" + "x" * 50]), min_size=1, max_size=3)


@given(st.lists(_PARTS, min_size=1, max_size=6))
def test_different_runs_have_different_names_and_labels(ways: list[list[str]]) -> None:
    paths = [Path("/runs").joinpath(*way) for way in ways]
    for names in (run_names(paths), run_labels(paths)):
        assert len(set(names)) == len(paths)
    assert all(len(label) <= 80 for label in run_labels(paths))


def test_runs_are_called_by_as_much_of_their_path_as_differs() -> None:
    paths = [Path("/runs/a/seed0"), Path("/runs/b/seed0"), Path("/runs/b/seed1")]
    assert run_names(paths) == run_labels(paths) == ["a/seed0", "b/seed0", "seed1"]


def test_a_run_that_is_given_again_is_numbered() -> None:
    assert run_names([Path("/runs/a")] * 3) == ["a", "a (2)", "a (3)"]
    assert run_names([Path("/r/a"), Path("/r/a (2)"), Path("/r/a")]) == ["a", "a (2)", "a (3)"]


def test_a_label_keeps_what_differs() -> None:
    alone = run_labels([Path("/r") / LONG.format(0.1)])
    assert alone == [cut(LONG.format(0.1), 40)]
    assert len(alone[0]) == 40
    both = [LONG.format(rate) for rate in (0.1, 0.2)]
    assert run_labels([Path("/r") / name for name in both]) == both


def test_a_name_is_cut_in_its_middle() -> None:
    assert cut("abcdefghij", 10) == "abcdefghij"
    assert cut("abcdefghijk", 7) == "ab…hijk"
