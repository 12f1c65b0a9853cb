import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import fathom
from preloaded import FATHOM, done
from terminals import Terminal

COMMAND = (*FATHOM, "top")

# What has to be sent at the end, so that the shell has its own screen and cursor again.
LEFT = (b"\x1b[?1049l", b"\x1b[?25h")


def recorded(path: Path, steps: int = 1) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    with fathom.watch(model, path, budget=None) as monitor:
        for step in range(steps):
            model.eval()(torch.randn(500, 6))
            monitor.snapshot(step, accuracy=0.5)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal((*COMMAND, tmp_path / "x"))
    yield terminal
    terminal.close()


def test_it_waits_for_a_run_shows_it_and_leaves_the_terminal_as_it_was(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.read_until("waiting for")
    before = terminal.before
    assert terminal.attributes != before
    recorded(tmp_path / "x")
    terminal.read_until("step 0")
    terminal.read_until("accuracy 0.5")
    terminal.type("q")
    assert terminal.end() == 0
    assert all(each in terminal.sent for each in LEFT)
    assert terminal.attributes == before
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("key", ["\x03", "\x11"], ids=["ctrl-c", "ctrl-q"])
def test_it_ends_with_other_keys_too(terminal: Terminal, key: str) -> None:
    terminal.read_until("waiting for")
    terminal.type(key)
    assert terminal.end() == 0
    assert all(each in terminal.sent for each in LEFT)


def test_nothing_is_sent_while_nothing_is_new(terminal: Terminal, tmp_path: Path) -> None:
    recorded(tmp_path / "x")
    terminal.read_until("accuracy 0.5")
    # A slow machine may still be drawing what is new; what never settles never passes.
    for _ in range(10):
        if _last_line_of(drawn := terminal.listen(4)) <= 2:
            break
    # The time since the last step is the one thing that changes: in the title, of up to two lines.
    assert _last_line_of(drawn) <= 2, drawn
    assert re.search(rb"last step \d+ s ago", drawn)
    terminal.type("q")
    assert terminal.end() == 0


def _last_line_of(sent: bytes) -> int:
    return max(int(line) for line in re.findall(rb"\x1b\[(\d+);\d+H", sent))


def test_without_a_terminal_it_says_what_there_is_instead(tmp_path: Path) -> None:
    told = done(*COMMAND, tmp_path)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("fathom: top: standard input and output must be a terminal")
    assert "fathom show" in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    terminal = Terminal((*COMMAND, tmp_path / "file"))
    assert terminal.end() == 2
    assert "RUN must be a folder" in terminal.text
    terminal.close()


def test_without_textual_it_says_how_to_install_it(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['textual'] = None; "
        "from fathom.cli.main import main; sys.argv[0] = 'fathom'; main()"
    )
    terminal = Terminal(("-c", script, "top", tmp_path / "x"), columns=300)
    assert terminal.end() == 2
    assert "pip install '.[tui]'" in terminal.text
    assert "Traceback" not in terminal.text
    terminal.close()
