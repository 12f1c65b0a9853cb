import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.views.server import root as searching
from fathom.views.server.root import DEPTH, Root, fault

# Whether there is a run is told by its file's name here; that it is one is told when it is opened.
DATABASE = "run.sqlite"


def make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATABASE).write_bytes(b"")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """`a`, `deep/b` and `odd\\nname` are runs inside; `secret` is one outside."""
    make(tmp_path / "runs" / "a")
    make(tmp_path / "runs" / "deep" / "b")
    make(tmp_path / "runs" / "odd\nname")
    make(tmp_path / "secret")
    (tmp_path / "runs" / "no run").mkdir()
    return Root(tmp_path / "runs")


def test_runs_are_found_by_name(root: Root) -> None:
    assert root.search().names == ["a", "deep/b", "odd\nname"]
    for name in root.search().names:
        assert root.find(name) == root.path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "../secret",
        "a/../../secret",
        "a/../a",
        "./a",
        "a/",
        "a//",
        "deep//b",
        "/a",
        "%2e%2e/secret",
        "%252e%252e%252fsecret",
        "..%2fsecret",
        "..\\secret",
        "a\\..\\..\\secret",
        "a\0",
        "a\0/../../secret",
        "x" * 300,
        "a/" * 600,
        "no run",
        "a/run.sqlite",
        "~",
        "file:///etc",
        "C:\\",
        "\ud800",
        "deep",
        "runs",
    ],
)
def test_any_other_name_is_no_run(root: Root, name: str) -> None:
    assert root.find(name) is None


def test_an_absolute_path_is_no_name(root: Root) -> None:
    assert root.find(str(root.path / "a")) is None
    assert root.find(str(root.path.parent / "secret")) is None


def test_a_link_out_of_the_root_is_no_run(root: Root) -> None:
    outside = root.path.parent / "secret"
    (root.path / "link").symlink_to(outside)
    (root.path / "up").symlink_to("..")
    (root.path / "a" / "out").symlink_to(outside)
    assert root.find("link") is None
    assert root.find("up/secret") is None
    assert root.find("a/out") is None
    assert root.search().names == ["a", "deep/b", "odd\nname"]


def test_a_link_inside_the_root_is_a_second_name_that_is_not_listed(root: Root) -> None:
    (root.path / "latest").symlink_to("deep/b")
    assert root.find("latest") == root.path / "deep" / "b"
    assert "latest" not in root.search().names


@pytest.mark.parametrize("file", [DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "writer.lock"])
def test_a_file_that_links_out_makes_no_run(root: Root, file: str) -> None:
    target = root.path.parent / "secret" / DATABASE
    (root.path / "a" / file).unlink(missing_ok=True)
    (root.path / "a" / file).symlink_to(target)
    assert root.find("a") is None


def test_a_pipe_is_not_waited_for(root: Root) -> None:
    os.mkfifo(root.path / "a" / "writer.lock")
    assert root.find("a") is None
    shutil.rmtree(root.path / "deep" / "b")
    (root.path / "deep" / "b").mkdir()
    os.mkfifo(root.path / "deep" / "b" / DATABASE)
    assert root.find("deep/b") is None
    assert "deep/b" not in root.search().names


def test_a_folder_that_becomes_a_link_is_seen_at_once(root: Root) -> None:
    assert root.find("a") is not None
    shutil.rmtree(root.path / "a")
    (root.path / "a").symlink_to(root.path.parent / "secret")
    assert root.find("a") is None


def test_links_in_a_circle_are_no_run(root: Root) -> None:
    (root.path / "round").symlink_to("round")
    assert root.find("round") is None
    assert root.find("round/a") is None


def test_a_runs_own_folder_has_one_run(root: Root) -> None:
    own = Root(root.path / "a")
    make(root.path / "a" / "inner")
    assert own.title == "a"
    assert own.search().names == ["a"]
    assert own.find("a") == root.path / "a"
    assert own.find("inner") is None
    assert own.find("b") is None


def test_a_root_may_be_a_link_and_may_come_later(root: Root, tmp_path: Path) -> None:
    linked = Root(tmp_path / "linked")
    assert linked.search().names == []
    assert linked.find("a") is None
    (tmp_path / "linked").symlink_to(root.path)
    assert linked.search().names == root.search().names
    assert linked.find("a") == root.path / "a"


def test_hidden_and_too_deep_folders_are_not_listed(root: Root) -> None:
    make(root.path / ".git" / "x")
    make(root.path / "/".join("d" * DEPTH))
    make(root.path / "/".join("e" * (DEPTH + 1)))
    assert "/".join("d" * DEPTH) in root.search().names
    assert not [name for name in root.search().names if name.startswith((".git", "e"))]


def test_the_folders_that_are_looked_at_are_limited_however_they_lie(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root.path / "wide" / "z")
    for number in range(30):
        (root.path / "wide" / f"folder {number}").mkdir()
    assert "wide/z" in root.search().names
    assert not root.search().left_out
    monkeypatch.setattr(searching, "MOST_FOLDERS", 20)
    found = root.search()
    assert found.names == ["a", "deep/b", "odd\nname"]
    assert found.left_out


def test_of_too_many_runs_the_newest_are_listed(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, name in enumerate(["deep/b", "a", "odd\nname"]):
        os.utime(root.path / name / DATABASE, (10**9 - age, 10**9 - age))
    monkeypatch.setattr(searching, "MOST_RUNS", 3)
    assert root.search() == Root(root.path).search()
    assert not root.search().left_out
    monkeypatch.setattr(searching, "MOST_RUNS", 2)
    found = root.search()
    assert found.names == ["a", "deep/b"]
    assert found.left_out


def test_what_was_searched_is_looked_up_anew(root: Root) -> None:
    found = root.search()
    assert {name: found.find(name) for name in found.names} == {
        name: root.find(name) for name in found.names
    }
    shutil.rmtree(root.path / "a")
    (root.path / "a").symlink_to(root.path.parent / "secret")
    assert found.find("a") is None
    assert found.find("../secret") is None


def test_a_name_that_no_address_holds_is_listed_with_its_fault(root: Root) -> None:
    make(root.path / "back\\slash")
    make(Path(os.fsdecode(os.fsencode(root.path) + b"/not\xff8")))
    faulty = {name: fault(name) for name in root.search().names if fault(name) is not None}
    assert [fault and fault.split(".")[0] for fault in faulty.values()] == [
        "The folder's name has a backslash",
        "The folder's name is not UTF-8",
    ]
    assert not any(root.find(name) for name in faulty)


PARTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "a",
        "deep",
        "b",
        "link",
        "up",
        "secret",
        "runs",
        "%2e%2e",
        "\\",
        "\0",
        "run.sqlite",
    ]
)
NAMES = st.one_of(
    st.text(max_size=50),
    st.lists(st.one_of(PARTS, st.text(max_size=5)), max_size=9).map("/".join),
    st.lists(PARTS, max_size=9).map("\\".join),
)


@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=NAMES)
def test_no_name_leads_out_of_the_root(root: Root, name: str) -> None:
    for link, target in (("link", root.path.parent / "secret"), ("up", Path(".."))):
        if not (root.path / link).is_symlink():
            (root.path / link).symlink_to(target)
    found = root.find(name)
    assert found is None or found in {root.path / "a", root.path / "deep" / "b"}
