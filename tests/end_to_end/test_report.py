import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import fathom
from analysed_runs import add_curve, add_probes, add_similarity
from fathom.cli.main import main
from fathom.views.report import report, write_report
from recorded import long, small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("runs") / "small")


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fathom", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def held(page: str) -> dict[str, Any]:
    """What a report holds for its scripts."""
    found = re.search(r'<script type="application/json" id="fathom-data">(.*?)</script>', page)
    assert found is not None
    return dict(json.loads(found[1]))


def test_the_command_writes_a_file_named_after_the_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch, "report", run) == 0
    assert capsys.readouterr().out.startswith("small.html: ")
    assert [path.name for path in tmp_path.iterdir()] == ["small.html"]
    data = held((tmp_path / "small.html").read_text())
    assert data["kind"] == "report"
    assert [each["name"] for each in data["runs"]] == ["small"]


def test_the_command_writes_several_runs_to_a_named_file_or_to_standard_output(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, "report", run, run, "-o", tmp_path / "both.html") == 0
    capsys.readouterr()
    assert ended(monkeypatch, "report", run, run, "-o", "-") == 0
    to_stdout = capsys.readouterr().out
    for page in (to_stdout, (tmp_path / "both.html").read_text()):
        assert [each["name"] for each in held(page)["runs"]] == ["small", "small (2)"]


@pytest.mark.parametrize("arguments", [["nowhere"], [], ["{run}", "-o", "no/such/folder/x.html"]])
def test_wrong_use_is_one_line(
    arguments: list[str],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch, "report", *(each.format(run=run) for each in arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(fathom.FathomError, match="runs must hold at least one run, got none"):
        report([])


def test_a_file_that_is_there_is_whole_until_the_new_one_is(run: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    with fathom.open_run(run) as opened:
        size = write_report([opened], link)
        with pytest.raises(IsADirectoryError):
            write_report([opened], tmp_path)
    assert link.is_symlink()
    assert real.stat().st_size == size
    assert real.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "real.html"]


def test_the_same_run_gives_the_same_report(run: Path) -> None:
    made = datetime(2026, 1, 2, tzinfo=UTC)
    with fathom.open_run(run) as opened:
        first, second = report([opened], made=made), report([opened], made=made)
    assert first == second
    assert held(first)["made"] == made.timestamp()


def test_its_own_script_and_style_are_all_that_may_run(run: Path) -> None:
    with fathom.open_run(run) as opened:
        page = report([opened])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for tag, rule in (('script type="module"', "script-src"), ("style", "style-src")):
        texts = re.findall(rf"<{tag}>(.*?)</{tag.split()[0]}>", page, re.DOTALL)
        assert len(texts) == 1
        digest = b64encode(sha256(texts[0].encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy[1]
    outside = {each for each in re.findall(r"https?://[^\s\"'`)]+", page) if "w3.org" not in each}
    assert outside == {"https://github.com/leeoniya/uPlot"}  # in the notice of its licence


def test_spectra_of_the_first_a_middle_and_the_last_step_are_inside(run: Path) -> None:
    with fathom.open_run(run) as opened:
        spectra = held(report([opened]))["spectra"]["small"]
        for phase in ("train", "eval"):
            assert list(spectra[phase]) == ["0", "20", "30"]
            for step, layers in spectra[phase].items():
                assert sorted(layers) == sorted(opened.layers)
                for layer, spectrum in layers.items():
                    there = opened.snapshot(int(step)).phase(phase)[layer]
                    assert spectrum["dimension"] == there.intrinsic_dimension
                    assert spectrum["width"] == there.width


def test_runs_of_one_name_are_told_apart_by_their_folders(run: Path, tmp_path: Path) -> None:
    paths = [small(tmp_path / way, steps=1) for way in ("a/vgg", "b/vgg", "b/res", "b/c/res")]
    opened = [fathom.open_run(path) for path in paths]
    names = [each["name"] for each in held(report(opened))["runs"]]
    assert names == ["a/vgg", "b/vgg", "b/res", "c/res"]
    for each in opened:
        each.close()


def test_damaged_records_are_named(tmp_path: Path) -> None:
    path = small(tmp_path / "run", steps=1)
    data = (path / "run.sqlite").read_bytes()
    assert data.count(b'"kind":"linear"') >= 1
    (path / "run.sqlite").write_bytes(data.replace(b'"module":"Linear"', b'"module":"Lineal"', 1))
    with fathom.open_run(path) as opened, pytest.warns(fathom.FathomWarning):
        page = report([opened])
    assert held(page)["runs"][0]["damaged"]


def test_a_hundred_layers_and_a_thousand_steps_are_under_three_megabytes(tmp_path: Path) -> None:
    path = long(tmp_path / "long")
    names = [f"features.{place}" for place in range(100)]
    for step in range(0, 1000, 100):
        add_probes(path, names, step=step)
        add_curve(path, names, step=step)
    add_similarity(path, names)
    with fathom.open_run(path) as opened:
        size = write_report([opened], tmp_path / "long.html")
        assert size < 3_000_000
        (document,) = held((tmp_path / "long.html").read_text())["runs"]
    assert len(document["steps"]) == document["recorded"] == 1000
    assert document["left_out"] == []
    assert len(document["probes"]["steps"]) == len(document["projections"]) == 10
    assert document["live_probes"]["rows"] == 1000
    assert (tmp_path / "long.html").stat().st_size == size


def test_of_a_run_too_long_for_that_some_steps_are_shown_and_the_report_says_so(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.views.report._READINGS", 8)
    with fathom.open_run(run) as opened:
        (document,) = held(report([opened]))["runs"]
    assert document["recorded"] == 4
    assert document["steps"] == [0, 20, 30]


def test_the_command_prints_no_escape_of_a_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("report", "export"):
        path = tmp_path / f"\x1b]0;owned\x07.{command}"
        assert ended(monkeypatch, command, run, "-o", path) == 0
        out = capsys.readouterr().out
        assert f"\\x1b]0;owned\\x07.{command}: " in out
        assert "\x1b" not in out
        assert path.is_file()


def test_standard_output_of_any_encoding_gets_the_bytes_of_a_file(run: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from fathom.cli.main import main; main()",
            "report",
            run,
            "-o",
            "-",
        ],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    page = done.stdout.decode()
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert script is not None
    assert not script[1].isascii()
    assert b64encode(sha256(script[1].encode()).digest()).decode() in page.split("<style>")[0]
