import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import fathom
from fathom.progress.progress import Progress
from terminals import Terminal

TRAINING = """
import sys, torch, fathom
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 2))
with fathom.watch(model, progress=True, budget=None) as monitor:
    for step in range(4):
        model.eval()(torch.randn(1000, 6))
        monitor.snapshot(step, loss=1 / (step + 1), accuracy=step / 4).wait()
        print(f"epoch {step} is over")
        print(f"warning {step}", file=sys.stderr)
        if step == 2:
            END
print("after")
"""

SAVE, RESTORE = "\x1b7", "\x1b8"


class Screen:
    """What a terminal makes of what is sent: as far as the line and these programs use it."""

    def __init__(self, lines: int, columns: int) -> None:
        self.rows = [""] * lines
        self.lines, self.columns = lines, columns
        self.history: list[str] = []
        self.row = self.column = 0
        self.top, self.bottom = 0, lines - 1
        self.saved = 0, 0

    def feed(self, sent: str) -> None:
        tokens = r"\x1b\[([0-9;]*)([a-zA-Z])|\x1b([78D])|([\r\n])|([^\x1b\r\n]+)"
        at = 0
        for found in re.finditer(tokens, sent):
            assert found.start() == at, f"unknown: {sent[at : found.start()]!r}"
            at = found.end()
            numbers, command, single, control, text = found.groups()
            if text:
                row = self.rows[self.row].ljust(self.column)
                assert self.column + len(text) <= self.columns
                self.rows[self.row] = row[: self.column] + text + row[self.column + len(text) :]
                self.column += len(text)
            elif control == "\r":
                self.column = 0
            elif control == "\n" or single == "D":
                self._down()
            elif single == "7":
                self.saved = self.row, self.column
            elif single == "8":
                self.row, self.column = self.saved
            else:
                self._obey(command, [int(each) for each in numbers.split(";") if each])
        assert at == len(sent)

    def _down(self) -> None:
        if self.row == self.bottom:
            self.history.append(self.rows.pop(self.top))
            self.rows.insert(self.bottom, "")
        else:
            self.row = min(self.row + 1, self.lines - 1)

    def _obey(self, command: str, numbers: list[int]) -> None:
        if command == "r":
            self.top, self.bottom = (
                (numbers[0] - 1, numbers[1] - 1) if numbers else (0, self.lines - 1)
            )
            self.row = self.column = 0
        elif command == "H":
            self.row, self.column = numbers[0] - 1, numbers[1] - 1
        elif command == "A":
            self.row -= 1
        elif command == "K":
            assert numbers == [2]
            self.rows[self.row] = ""
        else:
            assert command == "m", command


def trained(end: str = "pass", *, lines: int = 24, columns: int = 80) -> tuple[int, str, Screen]:
    """Train in a terminal: exit status, what was sent, what is to be seen of it in the end."""
    started = Terminal(("-c", TRAINING.replace("END", end)), lines=lines, columns=columns)
    status = started.end()
    started.close()
    sent = started.sent.decode()
    screen = Screen(lines, columns)
    screen.feed(sent)
    assert (screen.top, screen.bottom) == (0, screen.lines - 1), (
        "the terminal does not scroll whole"
    )
    return status, sent, screen


@pytest.mark.parametrize("lines", [24, 8])
def test_in_a_terminal_it_is_one_line_under_all_that_is_printed(lines: int) -> None:
    status, sent, screen = trained(lines=lines)
    assert status == 0
    # In the meantime it stood in the bottom line, four times.
    assert sent.count(f"\x1b[{lines};1H\x1b[2K") == 5
    seen = [line.rstrip() for line in [*screen.history, *screen.rows] if line.strip()]
    printed = [word for n in range(4) for word in (f"epoch {n} is over", f"warning {n}")]
    assert [line for line in seen if not line.startswith("fathom")] == [*printed, "after"]
    last = [line for line in seen if line.startswith("fathom")]
    assert len(last) == 1
    assert re.fullmatch(
        r"fathom: step 3  average saturation \d\.\d{3} [+-]\d\.\d{3}  loss 0.25  accuracy 0.75",
        last[0],
    )
    assert seen[-2:] == [last[0], "after"]


@pytest.mark.parametrize("columns", [40, 200])
def test_only_whole_parts_are_shown(columns: int) -> None:
    _, _, screen = trained(columns=columns)
    (line,) = [line.rstrip() for line in screen.rows if "step 3" in line]
    assert len(line) < columns
    if columns == 40:
        assert re.fullmatch(r"step 3  average saturation \d\.\d{3} [+-]\d\.\d{3}", line)
    else:
        assert re.search(r"lowest 0 \d\.\d{3}  highest 2 \d\.\d{3}$", line)


@pytest.mark.parametrize(
    ("end", "status", "word"),
    [
        ("raise ValueError('boom')", 1, "ValueError: boom"),
        ("import signal; signal.raise_signal(signal.SIGINT)", -2, "KeyboardInterrupt"),
        ("raise SystemExit(3)", 3, "warning 2"),
    ],
    ids=["exception", "ctrl-c", "exit"],
)
def test_the_line_stays_and_the_terminal_is_free_however_it_ends(
    end: str, status: int, word: str
) -> None:
    ended, _, screen = trained(end)
    assert ended == status
    seen = "\n".join([*screen.history, *screen.rows])
    assert seen.count("fathom: step 2") == 1
    assert word in seen


def test_a_monitor_that_nobody_closes_leaves_the_terminal_free() -> None:
    script = TRAINING.replace("with fathom.watch(", "monitor = fathom.watch(").replace(
        ") as monitor:\n", ")\nif True:\n"
    )
    started = Terminal(("-c", script.replace("END", "pass")))
    assert started.end() == 0
    started.close()
    screen = Screen(24, 80)
    screen.feed(started.sent.decode())
    assert (screen.top, screen.bottom) == (0, 23)
    assert sum("fathom: step 3" in line for line in screen.rows) == 1


def test_two_monitors_share_the_bottom_line() -> None:
    script = """
import torch, fathom
from torch import nn
models = [nn.Linear(6, 6), nn.Linear(6, 6)]
monitors = [fathom.watch(model, progress=True) for model in models]
for step in range(2):
    for model, monitor in zip(models, monitors):
        model(torch.randn(100, 6))
        monitor.snapshot(step).wait()
for monitor in monitors:
    print("closing")
    monitor.close()
"""
    started = Terminal(("-c", script))
    assert started.end() == 0
    started.close()
    screen = Screen(24, 80)
    screen.feed(started.sent.decode())
    assert (screen.top, screen.bottom) == (0, 23)
    starts = [line[:14] for line in screen.rows if line.strip()]
    assert starts == ["closing", "fathom: step 1", "closing", "fathom: step 1"]


def test_a_terminal_that_knows_no_commands_has_a_line_a_snapshot() -> None:
    started = Terminal(("-c", TRAINING.replace("END", "pass")), environment={"TERM": "dumb"})
    assert started.end() == 0
    started.close()
    assert b"\x1b" not in started.sent
    assert started.sent.count(b"fathom: step") == 4


class Model(nn.Sequential):
    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(6, 6))


Errors = Callable[[], str]


@pytest.fixture
def errors(capsys: pytest.CaptureFixture[str]) -> Errors:
    return lambda: capsys.readouterr().err


def watched(model: nn.Module, **arguments: object) -> None:
    with fathom.watch(model, budget=None, **arguments) as monitor:  # type: ignore[arg-type]
        for step in range(3):
            model.eval()(torch.randn(300, 6))
            monitor.snapshot(step, loss=float("nan"))


def test_in_a_pipe_it_is_a_plain_line_a_snapshot(errors: Errors) -> None:
    watched(Model("a", "b", "c"), progress=True)
    said = errors()
    lines = said.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"fathom: step {n}" for n in range(3)]
    assert all("loss nan" in line for line in lines)
    assert "\x1b" not in said


def test_unasked_nothing_is_said(errors: Errors) -> None:
    watched(Model("a"))
    assert errors() == ""


def test_a_name_cannot_command_the_terminal(errors: Errors) -> None:
    watched(Model("\x1b[2J", "[red]b[/]\n", "output"), progress=True)
    said = errors()
    assert len(said.splitlines()) == 3
    assert "\x1b" not in said
    assert "\\x1b[2J" in said
    assert "[red]b[/]\\n" in said


def test_the_change_is_that_of_the_phase_that_is_shown(errors: Errors) -> None:
    model = Model("a", "b")
    with fathom.watch(model, budget=None) as monitor:
        model.train()(torch.randn(300, 6))
        train = monitor.snapshot(0).wait()
        model.eval()(torch.randn(300, 6))
        evaluated = monitor.snapshot(1).wait()
    progress = Progress()
    for each in (train, evaluated, replace(evaluated, step=2)):
        progress.write(each)
    progress.close()
    first, second, third = errors().splitlines()
    assert first.endswith("in train")
    assert "+" not in second
    assert third.endswith("+0.000")


def test_only_the_first_of_many_processes_shows_it(
    errors: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    watched(Model("a"), progress=True, ranks="own")
    assert errors() == ""
    monkeypatch.setenv("RANK", "0")
    watched(Model("a"), progress=True, ranks="own")
    assert errors() != ""


def test_without_standard_error_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    watched(Model("a"), progress=True, run=tmp_path / "run")
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 1, 2]


def test_what_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(fathom.ArgumentError, match="progress must be True or False, got 'yes'"):
        fathom.watch(Model("a"), progress="yes")  # type: ignore[arg-type]


def test_a_training_that_wants_no_line_never_imports_rich() -> None:
    import subprocess

    script = "import fathom, sys; sys.exit('rich' in sys.modules or 'textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
