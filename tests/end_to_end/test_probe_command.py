"""`fathom probe`: from a function in a file to a table, a run and a figure."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import fathom
from fathom.cli.main import main

_SCRIPT = """
import torch
from torch import nn

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))

def build():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(90, 6, generator=generator)
    y = x[:, :3].argmax(1)
    return network(), (x[:60], y[:60]), (x[60:], y[60:])

def slow():
    model, (x, y), held_out = build()
    def batches():
        import time
        print("ready", flush=True)
        while True:
            time.sleep(0.01)
            yield x.repeat(50, 1), y.repeat(50)
    return model, batches(), held_out

def wrong():
    return 1, 2

def failing():
    return 1 / 0

number = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module, a run of its model, and its weights."""
    # Of a name of its own each time: Python keeps modules.
    name = f"probed_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(_SCRIPT)
    scope: dict[str, object] = {}
    exec(_SCRIPT, scope)
    model = scope["network"]()  # type: ignore[operator]
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model.eval()(torch.randn(200, 6))
        monitor.snapshot(step=7)
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    torch.save(model.state_dict(), tmp_path / "zero.pt")
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "within.pt")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def command(*arguments: str) -> int:
    sys.argv = ["fathom", *arguments]
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def module(folder: Path) -> str:
    return next(folder.glob("probed_*.py")).stem


def test_it_prints_stores_and_is_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("probe", f"{module(folder)}:build", "--run", "run") == 0
    out, err = capsys.readouterr()
    assert err == ""
    with fathom.open_run("run") as run:
        probes = run.probes()
    assert (probes.step, len(probes)) == (7, 2)
    assert out == f"{probes}\nStored in run. Draw them: fathom plot run layers --probes\n"
    assert probes["0"].eval_accuracy > 0.7
    assert command("plot", "run", "layers", "--probes", "-o", "figure.svg") == 0
    assert (folder / "figure.svg").stat().st_size > 5000
    assert command("plot", "run", "metrics", "--probes") == 2
    assert "--probes must be left out of metrics" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["zero.pt", "within.pt"])
def test_it_loads_a_checkpoint(folder: Path, weights: str) -> None:
    options = ["--checkpoint", weights, "--step", "9", "--layers", "0", "--legacy"]
    arguments = ["--memory", "0.5", "--workers", "1"]
    target = f"{module(folder)}.py:build"
    assert command("probe", target, "--run", "run", *options, *arguments) == 0
    with fathom.open_run("run") as run:
        probes = run.probes(9, legacy=True)
    assert [probe.layer for probe in probes] == ["0"]
    # Of weights of 0 nothing can be told but the commonest class.
    assert probes["0"].train_accuracy < 0.6


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("nothing", [], "must be MODULE:FUNCTION, got 'nothing'. For example: my_module:build"),
        ("no_such_module:build", [], "must name a module that Python finds, got 'no_such_module'"),
        ("no/file.py:build", [], "got 'no/file.py'"),
        ("{}:buidl", [], "must name a function, got 'buidl', which"),
        ("{}:number", [], "must name a function, got 'number'"),
        ("{}:wrong", [], "must return (model, train_data, eval_data), got tuple"),
        ("{}:build", ["--run", "nowhere"], "must be the folder of a run, got nowhere"),
        ("{}:build", ["--checkpoint", "no.pt"], "--checkpoint must be a file of weights, got no"),
        ("{}:build", ["--checkpoint", "text.pt"], "must be a file of weights, got text.pt"),
        ("{}:build", ["--checkpoint", "none.pt"], "must hold a state dict, got dict in none.pt"),
        ("{}:build", ["--checkpoint", "other.pt"], "must fit the model, got other.pt"),
        ("{}:build", ["--layers", "tail"], "got 'tail' that matches none"),
        ("{}:build", ["--memory", "0"], "--memory"),
    ],
)
def test_a_wrong_use_is_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    target: str,
    options: list[str],
    message: str,
) -> None:
    assert command("probe", target.format(module(folder)), *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "run" / "analyses").exists()


def test_a_fault_of_the_function_s_own_is_told_whole(folder: Path) -> None:
    sys.argv = ["fathom", "probe", f"{module(folder)}:failing"]
    with pytest.raises(ZeroDivisionError):
        main()


def test_an_interruption_leaves_nothing(folder: Path) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    script = Path(sys.executable).with_name("fathom")
    environment = {
        **os.environ,
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(Path(fathom.__file__).parents[1]),
    }
    with subprocess.Popen(
        [script, "probe", f"{module(folder)}:slow", "--run", "run", "--memory", "0.001"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Stopped. Nothing was stored."
    assert "Traceback" not in err
    assert not list(temporary.iterdir())
    assert not (folder / "run" / "analyses").exists()


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "module._orig_mod."])
def test_weights_of_a_wrapped_model_are_loaded(folder: Path, before: str) -> None:
    states = torch.load("zero.pt", weights_only=True)
    torch.save({f"{before}{name}": each for name, each in states.items()}, "wrapped.pt")
    options = ["--checkpoint", "wrapped.pt", "--layers", "0"]
    assert command("probe", f"{module(folder)}.py:build", "--run", "run", *options) == 0
    with fathom.open_run("run") as run:
        assert run.probes()["0"].train_accuracy < 0.6


def test_a_file_is_that_file_whatever_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (folder, folder / "other"):
        place.mkdir(exist_ok=True)
        script = _SCRIPT.replace("8", "5") if place != folder else _SCRIPT
        (place / "copy.py").write_text(script)
        assert command("probe", f"{place}/copy.py:build", "--layers", "0") == 0
        width = "5" if place != folder else "8"
        assert f"0                        {width}" in capsys.readouterr().out
    assert sys.modules["copy"].deepcopy
