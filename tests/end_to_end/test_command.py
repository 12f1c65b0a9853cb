import csv
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from torch import nn

import fathom
from fathom.cli.main import app, main
from fathom.experiments.demo import SmallVGG

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `fathom` in this process: status, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        monkeypatch.setattr(sys, "argv", ["fathom", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "small"
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with fathom.watch(model, folder, budget=None) as monitor:
        for step in range(3):
            model.train()(torch.randn(500, 6))
            model.eval()(torch.randn(200, 6))
            monitor.snapshot(step=step, loss=1 / (step + 1), best=math.nan)
    return folder


def test_the_installed_command_runs(run: Path, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("fathom")
    done = subprocess.run([script, "show", run], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "average saturation" in done.stdout
    assert "\x1b" not in done.stdout
    wrong = subprocess.run(
        [script, "show", "nowhere"], capture_output=True, text=True, cwd=tmp_path
    )
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr.count("\n") == 1
    assert "nowhere" in wrong.stderr


def test_show_prints_the_last_step_in_eval(command: Command, run: Path) -> None:
    status, out, _ = command("show", run)
    assert status == 0
    assert "step 2  eval  threshold 0.99" in out
    snapshot = fathom.open_run(run).snapshot()
    for name, reading in snapshot.eval.items():
        line = next(line for line in out.splitlines() if line.startswith(f"{name} "))
        assert line.split()[1:5] == [
            "linear",
            str(reading.width),
            str(reading.intrinsic_dimension),
            f"{reading.saturation:.3f}",
        ]
    assert f"average saturation {snapshot.average_saturation():.3f}" in out


def test_show_takes_phase_step_threshold_and_order(command: Command, run: Path) -> None:
    options = ("--phase", "train", "--step", 1, "--threshold", 0.5, "--sort", "saturation")
    status, out, _ = command("show", run, *options, "--json")
    assert status == 0
    record = json.loads(out)
    assert (record["step"], record["phase"]) == (1, "train")
    snapshot = fathom.open_run(run).snapshot(1, threshold=0.5)
    assert record["average_saturation"] == snapshot.average_saturation("train")
    shares = {row["layer"]: row["saturation"] for row in record["layers"]}
    assert shares == {name: each.saturation for name, each in snapshot.train.items()}
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_json_holds_null_where_there_is_no_number(command: Command, run: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    _, out, _ = command("show", run, "--json")
    assert json.loads(out, parse_constant=refuse)["metrics"]["best"] is None


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_export_writes_a_row_a_step_phase_layer_and_statistic(
    command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = command("export", run, "--to", form)
    assert status == 0
    path = tmp_path / f"small.{form}"
    rows = read(path)
    opened = fathom.open_run(run)
    names = [name for name in fathom.STATISTICS if name != "rankme"]
    assert len(rows) == 3 * 2 * len(opened.layers) * len(names)
    assert f"{path.name}: {len(rows)} rows" in out
    for name in names:
        expected = opened.statistic(name, phase="train")
        for row in rows:
            if row["phase"] == "train" and row["statistic"] == name:
                step, layer = int(row["step"]), opened.layers.index(row["layer"])
                same(row["value"], expected[step, layer], finite_only=form == "json")


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".json":
        return list(json.loads(path.read_text()))
    return list(pyarrow.parquet.read_table(path).to_pylist())


def same(came: Any, expected: float, *, finite_only: bool) -> None:
    if finite_only and not math.isfinite(expected):
        assert came is None
    else:
        assert float(came) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_export_to_parquet_without_pyarrow_says_what_to_install(
    command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    status, _, err = command("export", run, "--to", "parquet", "-o", tmp_path / "x.parquet")
    assert status == 2
    assert err.count("\n") == 1
    assert "pyarrow" in err
    assert "'parquet'" in err
    assert list(tmp_path.iterdir()) == []


def test_export_through_a_link_keeps_the_link_and_the_mode(
    command: Command, run: Path, tmp_path: Path
) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    assert command("export", run, "-o", link)[0] == 0
    assert link.is_symlink()
    assert real.read_text().startswith("step,phase")
    assert real.stat().st_mode & 0o777 == 0o600


def test_export_has_the_form_that_the_file_ends_with(
    command: Command, run: Path, tmp_path: Path
) -> None:
    assert command("export", run, "-o", tmp_path / "x.parquet")[0] == 0
    assert command("export", run, "-o", tmp_path / "x.json")[0] == 0
    assert command("export", run, "-o", tmp_path / "x.table")[0] == 0
    assert (tmp_path / "x.parquet").read_bytes()[:4] == b"PAR1"
    rows = json.loads((tmp_path / "x.json").read_text())
    assert len(rows) == len((tmp_path / "x.table").read_text().splitlines()) - 1


def test_export_goes_to_a_named_file_or_to_standard_output(
    command: Command, run: Path, tmp_path: Path
) -> None:
    status, _, _ = command("export", run, "-o", tmp_path / "named.csv", "--threshold", 0.5)
    assert status == 0
    status, out, _ = command("export", run, "-o", "-", "--threshold", 0.5)
    assert status == 0
    assert out == (tmp_path / "named.csv").read_text()
    assert out.startswith("step,phase,layer,")


MAIN = "from fathom.cli.main import main; main()"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize("name", ["show", "export"])
def test_an_output_that_is_full_ends_in_one_line(run: Path, name: str) -> None:
    options = ["-o", "-"] if name == "export" else []
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, name, run, *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"fathom: {name}: standard output must be writable, got No space")
    assert done.stderr.count("\n") == 1


def test_the_demo_trains_shows_and_may_be_repeated(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "demo"
    for _ in range(2):
        status, out, _ = command("demo", "--run", folder, "--epochs", 3)
        assert status == 0
        assert "average saturation" in out
        assert f"fathom show {folder}" in out
    opened = fathom.open_run(folder)
    assert opened.steps == [0, 1, 2]
    assert len(opened.layers) == 8
    assert opened.metrics["accuracy"][-1] > 0.9
    snapshot = opened.snapshot()
    # Within the budget some of the images are read: 1,437 in training and 360 held out.
    assert 100 < snapshot.train["features.0"].samples <= 1437
    assert 100 < snapshot.eval["features.0"].samples <= 360
    assert snapshot.output_layer == "classifier.2"


def test_the_demo_never_removes_another_run(command: Command, run: Path) -> None:
    status, _, err = command("demo", "--run", run)
    assert status == 2
    assert "--run" in err
    assert fathom.open_run(run).steps == [0, 1, 2]


def test_the_demo_never_removes_a_file_that_is_not_its_own(
    command: Command, tmp_path: Path
) -> None:
    for name in ("thesis.tex", "covariances/mine.npy", "sub/file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    for _ in range(2):
        assert command("demo", "--run", tmp_path, "--epochs", 1)[0] == 0
    for name in ("thesis.tex", "covariances/mine.npy", "sub/file"):
        assert (tmp_path / name).read_text() == "mine"


def test_the_demo_does_not_take_a_run_from_a_training(command: Command, tmp_path: Path) -> None:
    command("demo", "--run", tmp_path / "run", "--epochs", 1)
    with fathom.watch(SmallVGG(), tmp_path / "run", resume=True, budget=None):
        status, _, err = command("demo", "--run", tmp_path / "run", "--epochs", 1)
    assert status == 2
    assert "writes now" in err
    assert fathom.open_run(tmp_path / "run").steps == [0]


def test_a_progress_bar_shows_the_live_average_saturation(command: Command, tmp_path: Path) -> None:
    _, out, _ = command("demo", "--run", tmp_path / "run", "--epochs", 2)
    bar = out.split("\n\n")[0]
    average = fathom.open_run(tmp_path / "run").snapshot().average_saturation()
    assert "100%" in bar
    assert f"step 1  average saturation {average:.3f}" in bar


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("show",), "RUN"),
        (("show", "nowhere"), "nowhere"),
        (("show", "RUN", "--step", "9"), "got 9"),
        (("show", "RUN", "--step", "x"), "--step"),
        (("show", "RUN", "--phase", "test"), "train, eval"),
        (("show", "RUN", "--threshold", "1.5"), "1.5"),
        (("show", "RUN", "--threshold", "0"), "got 0"),
        (("show", "RUN", "--sort", "colour"), "saturation"),
        (("show", "RUN", "--bogus"), "--bogus"),
        (("export", "RUN", "--to", "xlsx"), "parquet"),
        (("export", "RUN", "--threshold", "2"), "export: threshold must be in (0, 1], got 2"),
        (("show", "RUN", "--step", "99"), "show: --step must be one of the run, got 99. It has 3"),
        (("show", "RUN", "--threshold", "2"), "show: threshold must be in (0, 1], got 2"),
        (("export", "RUN", "-o", "no/such/folder.csv"), "no/such/folder.csv"),
        (("export", "RUN", "--to", "parquet", "-o", "-"), "parquet"),
        (("demo", "--epochs", "0"), "--epochs"),
        (("blah",), "blah"),
    ],
)
def test_wrong_use_is_status_2_and_one_line(
    command: Command, run: Path, arguments: tuple[str, ...], named: str
) -> None:
    status, out, err = command(*(run if word == "RUN" else word for word in arguments))
    assert status == 2
    assert out == ""
    assert err.startswith("fathom: ")
    assert err.count("\n") == 1
    assert named in err


def test_a_run_without_a_snapshot_says_so(command: Command, tmp_path: Path) -> None:
    fathom.watch(nn.Linear(2, 2), tmp_path / "new", budget=None).close()
    status, _, err = command("show", tmp_path / "new")
    assert status == 2
    assert "none yet" in err


def test_help_has_an_example_for_each_command(command: Command) -> None:
    names = [
        each.name or each.callback.__name__ for each in app.registered_commands if each.callback
    ]
    assert {"demo", "show", "export"} <= set(names)
    for name in names:
        status, out, _ = command(name, "--help")
        assert status == 0
        assert f"Example: fathom {name}" in out
    for words in ((), ("--help",)):
        status, out, _ = command(*words)
        assert status == 0
        assert all(name in out for name in names)
    assert command("--version")[1].strip() == fathom.__version__
