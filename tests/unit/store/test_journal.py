"""WAL where it works, a rollback journal on network file systems."""

from pathlib import Path

import pytest

from fathom.store.journal import journal_mode


def mounts(tmp_path: Path, *lines: tuple[str | Path, str]) -> Path:
    """A table of mounted file systems in the form of /proc/self/mounts."""
    table = tmp_path / "mounts"
    table.write_text("".join(f"device {point} {kind} rw,relatime 0 0\n" for point, kind in lines))
    return table


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs"])
def test_local_file_systems_keep_a_wal(tmp_path: Path, kind: str) -> None:
    assert journal_mode(folder(tmp_path, "run"), mounts=mounts(tmp_path, ("/", kind))) == "wal"


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "lustre", "9p", "fuse.sshfs", "ceph", "gpfs", "beegfs"]
)
def test_network_file_systems_keep_a_rollback_journal(tmp_path: Path, kind: str) -> None:
    run = folder(tmp_path, "run")
    assert journal_mode(run, mounts=mounts(tmp_path, ("/", "ext4"), (tmp_path, kind))) == "delete"


def test_the_mount_point_itself_counts(tmp_path: Path) -> None:
    run = folder(tmp_path, "run")
    assert journal_mode(run, mounts=mounts(tmp_path, ("/", "ext4"), (run, "nfs"))) == "delete"


@pytest.mark.parametrize(
    ("outer", "inner", "mode"), [("ext4", "nfs", "delete"), ("nfs", "ext4", "wal")]
)
@pytest.mark.parametrize("order", [1, -1], ids=["outer first", "inner first"])
def test_the_nearest_mount_decides(
    tmp_path: Path, outer: str, inner: str, mode: str, order: int
) -> None:
    run = folder(tmp_path, "outer/inner/run")
    lines = [(tmp_path / "outer", outer), (tmp_path / "outer" / "inner", inner)][::order]
    assert journal_mode(run, mounts=mounts(tmp_path, ("/", "xfs"), *lines)) == mode


def test_a_later_mount_on_the_same_place_lies_over_the_earlier(tmp_path: Path) -> None:
    run = folder(tmp_path, "run")
    assert journal_mode(run, mounts=mounts(tmp_path, (run, "ext4"), (run, "nfs"))) == "delete"
    assert journal_mode(run, mounts=mounts(tmp_path, (run, "nfs"), (run, "ext4"))) == "wal"


def test_a_name_that_only_begins_like_the_mount_is_elsewhere(tmp_path: Path) -> None:
    run = folder(tmp_path, "data-local/run")
    table = mounts(tmp_path, ("/", "ext4"), (tmp_path / "data", "nfs"))
    assert journal_mode(run, mounts=table) == "wal"


def test_spaces_in_mount_points_are_escaped_in_the_table(tmp_path: Path) -> None:
    run = folder(tmp_path, "our own data/run")
    point = str(tmp_path / "our own data").replace(" ", "\\040")
    assert journal_mode(run, mounts=mounts(tmp_path, ("/", "ext4"), (point, "nfs4"))) == "delete"


@pytest.mark.parametrize(("character", "escape"), [("\t", "\\011"), ("\\", "\\134")])
def test_other_characters_that_the_table_escapes(
    tmp_path: Path, character: str, escape: str
) -> None:
    run = folder(tmp_path, f"our{character}data/run")
    point = f"{tmp_path}/our{escape}data"
    assert journal_mode(run, mounts=mounts(tmp_path, ("/", "ext4"), (point, "nfs4"))) == "delete"


def test_a_link_is_followed_to_where_the_run_lies(tmp_path: Path) -> None:
    run = folder(tmp_path, "network/run")
    link = tmp_path / "link"
    link.symlink_to(run)
    table = mounts(tmp_path, ("/", "ext4"), (tmp_path / "network", "nfs"))
    assert journal_mode(link, mounts=table) == "delete"


def test_a_relative_path_is_that_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, "network/run")
    monkeypatch.chdir(tmp_path / "network")
    table = mounts(tmp_path, ("/", "ext4"), (tmp_path / "network", "nfs"))
    assert journal_mode(Path("run"), mounts=table) == "delete"


def test_without_a_table_a_wal_is_tried(tmp_path: Path) -> None:
    assert journal_mode(folder(tmp_path, "run"), mounts=tmp_path / "missing") == "wal"


def test_this_systems_own_table_is_understood(tmp_path: Path) -> None:
    assert journal_mode(tmp_path) in {"wal", "delete"}
    table = Path("/proc/self/mounts")
    if table.exists():
        assert journal_mode(tmp_path) == journal_mode(tmp_path, mounts=table)
