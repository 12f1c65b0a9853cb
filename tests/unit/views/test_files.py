"""A file is replaced whole or not at all, and nothing else is written."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fathom.views.files import replaced


def write(path: Path, text: str) -> None:
    with replaced(path) as unfinished:
        unfinished.write_text(text)


def test_a_new_file_has_the_mode_of_an_ordinary_one(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "new", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]


def test_what_is_there_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    write(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_after_a_failure_all_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "file", "half\udc80")
    assert (tmp_path / "file").read_text() == "before"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_link_that_somebody_put_there_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".r.html.unfinished").symlink_to("victim")
    write(tmp_path / "r.html", "report")
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "r.html").read_text() == "report"


def test_a_pipe_is_written_as_it_is() -> None:
    code = "from pathlib import Path; from fathom.views.files import replaced\n"
    code += "with replaced(Path('/dev/stdout')) as path: path.write_text('through')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "through"
