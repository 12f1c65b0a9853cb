"""Where the live page's server is to listen, and what it is to show: what it refuses, in words."""

import errno
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from fathom.errors import ArgumentError
from fathom.views.server import serving
from live import PATIENCE, Serving
from live_training import recorded
from preloaded import FATHOM, done


def test_a_port_that_one_may_not_listen_at_is_the_ports_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, who may listen at any.
    def refuse(host: str, port: int) -> socket.socket:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(serving, "_bound", refuse)
    with pytest.raises(ArgumentError, match=r"--port must be one.*got 80: .*from 1024 on") as told:
        serving.serve(tmp_path, host="127.0.0.1", port=80, ready=print)
    assert "--host" not in str(told.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "run.sqlite"
    file.write_bytes(b"")
    told = done(*FATHOM, "serve", file, "--port", 0)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("fathom: serve: folder must be a folder of runs")
    assert str(file) in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_browser_that_stays_in_the_terminal_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not return before it has seen the list, as one that is left by hand."""
    recorded(tmp_path / "runs" / "inside")
    seen, browser = tmp_path / "seen", tmp_path / "browser.py"
    browser.write_text(
        "import pathlib, sys, urllib.request\n"
        "page = urllib.request.urlopen(sys.argv[1] + 'api/runs', timeout=60).read()\n"
        f"pathlib.Path({str(seen) + '.part'!r}).write_bytes(page)\n"
        f"pathlib.Path({str(seen) + '.part'!r}).rename({str(seen)!r})\n"
    )
    monkeypatch.setenv("BROWSER", f"{sys.executable} {browser} %s")
    with Serving(tmp_path / "runs", "--open") as running:
        deadline = time.monotonic() + PATIENCE
        while not seen.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "inside" in seen.read_text()
        assert running.interrupt() == (0, "")
