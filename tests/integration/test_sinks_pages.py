"""Each page of a sink has a whole script, which reads back what it wrote."""

import re
from pathlib import Path

import pytest

from page_scripts import run_script
from watched import offline

ROOT = Path(__file__).parents[2]
STEP_AND_NUMBER = r"(?m)^([0-4]) (?:train )?(0\.\d+)$"


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in offline(tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("sink", ["csv", "tensorboard", "mlflow", "trackio"])
def test_the_script_of_a_page_reads_every_step_back(sink: str, tmp_path: Path) -> None:
    found = re.findall(STEP_AND_NUMBER, run_script(f"sinks/{sink}.md", tmp_path))
    assert [int(step) for step, _ in found] == [0, 1, 2, 3, 4]
    assert all(0 < float(number) <= 1 for _, number in found)


def test_the_script_of_the_page_of_wandb_reads_the_last_step_back(tmp_path: Path) -> None:
    step, average = run_script("sinks/wandb.md", tmp_path).split()
    assert step == "4"
    assert 0 < float(average) <= 1


def test_the_script_of_the_page_of_own_sinks_writes_its_lines(tmp_path: Path) -> None:
    told = run_script("sinks/custom.md", tmp_path)
    assert re.findall(r'"step": (\d)', told) == list("01234")
    assert told.count('"loss"') == told.count('"saturation": {"0"') == 5


def test_every_sink_has_a_page() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "sinks").glob("*.md")}
    files = {file.stem for file in (ROOT / "src" / "fathom" / "sinks").glob("*.py")}
    assert pages - {"custom"} == files - {"__init__", "names"}
