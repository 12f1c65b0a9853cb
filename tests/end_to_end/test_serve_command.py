import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from fathom.views.server.serving import PORT
from live import PATIENCE, Serving, stamps
from live_training import recorded
from preloaded import FATHOM, done


def test_ctrl_c_ends_it_in_peace(tmp_path: Path) -> None:
    recorded(tmp_path / "runs" / "a")
    with Serving(tmp_path / "runs") as serving:
        assert re.fullmatch(
            r"Serving \S+runs at http://127\.0\.0\.1:\d+/  \(Ctrl-C ends it\)\n", serving.said[-1]
        )
        serving.json("api/run", name="a")
        assert serving.interrupt() == (0, "")


def test_a_folder_may_come_later(tmp_path: Path) -> None:
    with Serving("runs", cwd=tmp_path) as serving:
        assert serving.said[0] == "There is no runs yet; it is shown as soon as there is.\n"
        with serving.events() as events:
            assert next(events) == ("runs", {})
            assert serving.json("api/runs") == {"title": "runs", "left_out": False, "runs": []}
            recorded(tmp_path / "runs" / "a")
            while not serving.json("api/runs")["runs"]:
                assert next(events) == ("runs", {})


def test_a_runs_own_folder_may_be_given_before_there_is_one(tmp_path: Path) -> None:
    with Serving(tmp_path / "demo") as serving:
        with serving.events("demo") as events:
            assert stamps(events, "demo") == {"demo": None}
            recorded(tmp_path / "demo")
            while stamps(events, "demo")["demo"] is None:
                pass
        (listed,) = serving.json("api/runs")["runs"]
        assert listed["name"] == "demo"
        assert serving.json("api/run", name="demo")["recorded"] == 2


def test_where_its_usual_port_is_taken_it_uses_another(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # If another program has it, that will do as well.
        with suppress(OSError):
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        with Serving(tmp_path, port=None) as serving:
            assert serving.said[0] == f"Port {PORT} is taken; another one is used.\n"
            assert serving.port != PORT
            assert serving.json("api/runs")["runs"] == []


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*FATHOM, "serve", str(tmp_path), "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"fathom: serve: --port must be free, got {port}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["no.such.name.invalid", "192.0.2.1", "a b", ""])
def test_an_address_that_is_not_of_this_machine(tmp_path: Path, host: str) -> None:
    told = done(*FATHOM, "serve", tmp_path, "--port", 0, "--host", host)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("fathom: serve: --host must be a name or address of this machine")
    assert repr(host) in told.stderr
    assert told.stderr.count("\n") == 1


def test_without_the_extra_one_line_says_so(tmp_path: Path) -> None:
    """A package that cannot be imported stands in front of the installed one."""
    script = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['fathom', 'serve', 'runs']; "
        "from fathom.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Install the extra 'serve'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_library_and_the_command_load_no_server_unasked() -> None:
    script = "import sys, fathom.cli.main; print({'starlette', 'uvicorn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n"
