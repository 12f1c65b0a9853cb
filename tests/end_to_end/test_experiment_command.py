"""`fathom experiment`: one tiny experiment, run, told and read."""

import io
import json
import re
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import fathom
from experiments_made import epochs_done
from fathom.cli.experiment import experiment
from fathom.cli.main import main
from fathom.experiments.data.load import described
from fathom.experiments.layout import Layout, read_json
from fathom.experiments.models.build import ARCHITECTURES
from fathom.experiments.spec import Spec
from fathom.experiments.suite import planned
from preloaded import FATHOM
from terminals import Terminal

Command = Callable[..., tuple[int, str, str]]

TINY = ["dense-width", "--data", "digits", "--width", "8", "--width", "16", "--epochs", "1"]
TINY += ["--repetitions", "1", "--workers", "1"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that a run was started in, and what it printed."""
    folder = tmp_path_factory.mktemp("experiments")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        patch.setattr(sys, "argv", ["fathom", "experiment", "run", *TINY])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder, printed.getvalue()


@pytest.fixture
def command(
    ran: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `fathom experiment` in this process, in the folder of the run."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(ran[0])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        monkeypatch.setattr(sys, "argv", ["fathom", "experiment", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_a_run_says_what_it_will_do_what_it_did_and_what_comes_next(
    ran: tuple[Path, str],
) -> None:
    lines = ran[1].splitlines()
    assert lines[0] == "dense-width: 2 trainings, 0 done already; runs/dense-width; 1 at a time"
    found = r"of 2: digits_dense_w(8|16)_r0, \d\.\d s, test accuracy 0\.\d{3}"
    assert re.fullmatch(rf"1 {found}", lines[1])
    assert re.fullmatch(rf"2 {found}", lines[2])
    assert lines[3:] == [
        "2 of 2 done, 0 running, 0 failed",
        "figures: fathom experiment figures dense-width",
        "findings: fathom experiment findings dense-width",
    ]


def test_its_runs_are_those_of_fathom(ran: tuple[Path, str]) -> None:
    runs = sorted((ran[0] / "runs" / "dense-width" / "runs").iterdir())
    assert [run.name for run in runs] == ["digits_dense_w16_r0", "digits_dense_w8_r0"]
    for run in runs:
        with fathom.open_run(run) as opened:
            assert opened.steps == [1]
            assert opened.layers == ["input", "hidden", "output"]


def test_what_is_done_is_not_done_again(command: Command, ran: tuple[Path, str]) -> None:
    layout = Layout(ran[0] / "runs" / "dense-width")
    _, tasks = planned(layout)
    before = [layout.done(task).stat().st_mtime_ns for task in tasks]
    status, out, err = command("run", *TINY)
    assert (status, err) == (0, "")
    first, second, *_ = out.splitlines()
    assert first == "dense-width: 2 trainings, 2 done already; runs/dense-width; 1 at a time"
    assert second == "2 of 2 done, 0 running, 0 failed"
    assert [layout.done(task).stat().st_mtime_ns for task in tasks] == before
    status, out, _ = command("run", "--out", "runs/dense-width")
    assert status == 0
    assert out.startswith("dense-width: 2 trainings, 2 done already")
    assert "figures: fathom experiment figures --out runs/dense-width\n" in out


def test_status_is_a_line_a_cell(command: Command, ran: tuple[Path, str]) -> None:
    layout = Layout(ran[0] / "runs" / "dense-width")
    _, tasks = planned(layout)
    status, out, _ = command("status", "dense-width")
    assert status == 0
    first, _, head, *rows = out.splitlines()
    assert first == "runs/dense-width: 2 of 2 done, 0 running, 0 failed"
    assert head.split() == ["data", "model", "width", "done", "epochs", "time", "test", "accuracy"]
    for task, row in zip(tasks, rows, strict=True):
        done = read_json(layout.done(task))
        assert done is not None
        assert row.split() == [
            "digits", "dense", f"{task.width:g}", "1/1", f"{done['seconds']:.1f}", "s",
            f"{done['test_accuracy']:.3f}",
        ]  # fmt: skip


def test_status_as_json_has_the_numbers(command: Command, ran: tuple[Path, str]) -> None:
    status, out, _ = command("status", "--out", "runs/dense-width", "--json")
    assert status == 0
    record = json.loads(out)
    assert record["name"] == "dense-width"
    assert [record[key] for key in ("trainings", "done", "running", "failed", "waiting")] == [
        2, 2, 0, 0, 0,
    ]  # fmt: skip
    assert (record["seconds_left"], record["failures"]) == (0, [])
    layout = Layout(ran[0] / "runs" / "dense-width")
    done = read_json(layout.done(planned(layout)[1][0]))
    assert done is not None
    cell = record["cells"][0]
    assert (cell["data"], cell["model"], cell["width"], cell["done"]) == ("digits", "dense", 8, 1)
    assert (cell["seconds"], cell["test_accuracy"]) == (done["seconds"], done["test_accuracy"])


def test_figures_are_files_and_say_on_what_they_rest(
    command: Command, ran: tuple[Path, str]
) -> None:
    status, out, _ = command("figures", "dense-width")
    assert status == 0
    *paths, last = out.splitlines()
    assert last == "From 2 of 2 planned trainings."
    assert paths
    for path in paths:
        assert Path(path).parent == Path("runs/dense-width/figures")
        assert (ran[0] / path).read_bytes()[:4] == b"\x89PNG"


def test_findings_say_on_what_they_rest_in_three_forms(command: Command) -> None:
    status, text, _ = command("findings", "dense-width")
    assert status == 0
    assert text.endswith("\nFrom 2 of 2 planned trainings.\n")
    assert "not enough data" in text
    status, out, _ = command("findings", "dense-width", "--json")
    assert status == 0
    record = json.loads(out)
    assert (record["trainings"], record["done"]) == (2, 2)
    assert {each["verdict"] for each in record["findings"]} == {"not enough data"}
    status, table, _ = command("findings", "dense-width", "--markdown")
    assert status == 0
    assert table.startswith("| claim |")
    assert all(each["claim"] in text for each in record["findings"])


def test_list_has_every_experiment_and_on_demand_all_data_and_models(command: Command) -> None:
    status, out, _ = command("list")
    assert status == 0
    for spec in Spec.all():
        assert f"{spec.name}: {len(spec.tasks())} trainings, {spec.papers}\n" in out
        assert spec.title in out
    _, more, _ = command("list", "--data")
    assert more.startswith(out)
    words = more.removeprefix(out).split()
    assert {*described(), *ARCHITECTURES} <= set(words)


def test_a_failed_training_is_named_with_its_error_and_its_traceback(
    command: Command, tmp_path: Path
) -> None:
    # Found by no data set's check beforehand: the folder that its run is to be in is a file.
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "runs").touch()
    status, out, err = command("run", *TINY, "--out", tmp_path / "out")
    assert (status, err) == (1, "")
    assert "0 of 2 done, 0 running, 2 failed\n" in out
    assert "figures:" not in out
    layout = Layout(tmp_path / "out")
    _, tasks = planned(layout)
    for task in tasks:
        last = layout.failed(task).read_text().splitlines()[-1]
        assert f"failed: {task.name}: {last}\n    {layout.failed(task)}\n" in out
    status, told, _ = command("status", "--out", tmp_path / "out", "--json")
    assert status == 0
    assert [each["task"] for each in json.loads(told)["failures"]] == [each.name for each in tasks]
    status, _, err = command("findings", "--out", tmp_path / "out")
    assert status == 2
    assert "must hold a training that is done, got none of 2" in err


def test_control_c_keeps_what_is_done(tmp_path: Path) -> None:
    options = ["--data", "digits", "--width", "8", "--epochs", "1000", "--repetitions", "1"]
    options += ["--workers", "1", "--out", str(tmp_path)]
    terminal = Terminal([*FATHOM, "experiment", "run", "dense-width", *options], columns=120)
    try:
        layout = Layout(tmp_path)
        terminal.read_until("0 of 1 done, 1 running, 0 failed, about")
        terminal.type("\x03")
        assert terminal.end() == 128 + signal.SIGINT
    finally:
        terminal.close()
    assert "Stopped. What was done is kept: the same command goes on." in terminal.text
    assert "Traceback" not in terminal.text
    (task,) = planned(layout)[1]
    assert epochs_done(layout, task) >= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "dense"], "got 'dense'. There are: dense-width"),
        (["run"], "NAME or --out must be given"),
        (["run", "none.toml"], "none.toml must be a file that can be read"),
        (["run", "dense-width", "--data", "mnist"], "got 'mnist'. There are:"),
        (["run", "dense-width", "--model", "vgg"], "got 'vgg'. There are:"),
        (
            ["run", "dense-width", "--width", "0.5"],
            "must be a whole number of units, at least 1, got 0.5",
        ),
        (["run", "dense-width", "--data-folder", "."], "--data-folder must be for data of the hub"),
        (["run", "dense-width", "--device", "gpu"], "Did you mean 'cpu'?"),
        (["run", "dense-width", "--workers", "2", "--dask", "tcp://x"], "must not be given with"),
        (["run", "dense-width", "--epochs", "2"], "with epochs 1 instead of 2"),
        (["run", "--out", "runs/dense-width", "--epochs", "2"], "NAME must be given where"),
        (["run", "tail", "--out", "runs/dense-width"], "must hold tail, got dense-width"),
        (["status", "tail"], "runs/tail must hold an experiment, got none"),
        (["status", "tail", "--out", "runs/dense-width"], "must hold tail"),
        (["status", "--out", "file"], "--out must be a folder, got the file file"),
        (["findings", "dense-width", "--json", "--markdown"], "--json must stand alone"),
    ],
)
def test_a_wrong_use_is_one_line_and_changes_nothing(
    command: Command, ran: tuple[Path, str], arguments: list[str], words: str
) -> None:
    (ran[0] / "file").touch()
    before = (ran[0] / "runs" / "dense-width" / "experiment.json").read_bytes()
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err
    assert (ran[0] / "runs" / "dense-width" / "experiment.json").read_bytes() == before
    assert [each.name for each in (ran[0] / "runs").iterdir()] == ["dense-width"]


def test_help_has_an_example_for_each_subcommand(command: Command) -> None:
    page = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()
    names = ["list", "run", "status", "figures", "findings"]
    assert [each.name for each in experiment.registered_commands] == names
    for name in names:
        status, out, _ = command(name, "--help")
        assert status == 0
        assert f"Example: fathom experiment {name}" in out
        assert f"fathom experiment {name}" in page
    status, out, _ = command()
    assert status == 0
    assert all(f"  {name} " in out for name in names)
