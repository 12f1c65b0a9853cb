"""The documentation is made without a warning, and its scripts run."""

import posixpath
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fathom
import fathom.sinks
from fathom.cli.main import app
from page_scripts import run_script

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as HTML."""
    target = tmp_path_factory.mktemp("docs")
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", DOCS, target],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return target


def test_every_page_is_reached_from_the_first(pages: Path) -> None:
    seen: set[str] = set()
    waiting = ["index.html"]
    while waiting:
        page = waiting.pop()
        if page not in seen and (pages / page).is_file():
            seen.add(page)
            links = re.findall(
                r'href="([\w./-]+\.html)', (pages / page).read_text(encoding="utf-8")
            )
            waiting += [
                posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) for link in links
            ]
    written = {
        page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")
    }
    assert "sinks/csv.html" in written
    assert written <= seen


def names_for_users() -> set[str]:
    """What of fathom a user imports, by its full name."""
    sinks = {f"fathom.sinks.{name}" for name in fathom.sinks.__all__}
    delve = {f"fathom.delve.{name}" for name in ("SaturationTracker", "CheckLayerSat")}
    trainers = {
        "fathom.integrations.lightning.FathomCallback",
        "fathom.integrations.transformers.FathomCallback",
        "fathom.integrations.accelerate.FathomTracker",
        "fathom.integrations.ignite.FathomHandler",
        "fathom.Monitor.last_step",
    }
    return {f"fathom.{name}" for name in fathom.__all__} | sinks | delve | trainers


def test_every_public_name_is_in_the_reference(pages: Path) -> None:
    reference = (pages / "reference.html").read_text(encoding="utf-8")
    named = set(re.findall(r'id="(fathom\.[\w.]+)"', reference))
    assert names_for_users() <= {name.replace("fathom.errors.", "fathom.") for name in named}


def test_every_command_is_on_a_page_that_says_what_it_is_for(pages: Path) -> None:
    # commands.md is written from the commands themselves, so it has every one of them.
    written = "".join(
        page.read_text(encoding="utf-8") for page in DOCS.glob("*.md") if page.name != "commands.md"
    )
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"fathom {command.name or command.callback.__name__}" in written


def test_every_example_says_which_extras_it_needs() -> None:
    extras = {"sklearn": "demo", "lightning": "lightning", "transformers": "transformers"}
    text = (DOCS / "examples.md").read_text(encoding="utf-8")
    said = dict(
        reversed(found)
        for found in re.findall(r"^It needs (.*)\.\n\n.*examples/(\w+)\.py$", text, re.MULTILINE)
    )
    for path in (ROOT / "examples").glob("*.py"):
        imported = re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        needed = {extras[name] for name in imported if name in extras}
        assert set(re.findall("`(.*?)`", said[path.stem])) == needed


def test_the_first_script_learns_the_digits(tmp_path: Path) -> None:
    run_script("start.md", tmp_path, blocks=2)
    assert (tmp_path / "layers.svg").is_file()
    with fathom.open_run(tmp_path / "runs" / "digits") as run:
        assert run.steps == list(range(10))
        assert run.metrics["accuracy"][-1] > 0.8


def test_the_script_of_the_sinks_fills_them(tmp_path: Path) -> None:
    run_script("sinks.md", tmp_path)
    assert len((tmp_path / "numbers.csv").read_text().splitlines()) > 3 * 2 * 10
    assert len(list((tmp_path / "logs").iterdir())) == 1


def test_the_scripts_of_projection_keep_a_curve(tmp_path: Path) -> None:
    printed = run_script("projection.md", tmp_path, blocks=3)
    assert "all, random directions" in printed
    assert (tmp_path / "projection.svg").is_file()
    assert (tmp_path / "embedding.svg").is_file()
    with fathom.open_run(tmp_path / "runs" / "digits") as run:
        (curve,) = run.projections()
    assert curve.baseline > 0.85


def test_the_script_of_similarity_compares_two_seeds(tmp_path: Path) -> None:
    said = run_script("similarity.md", tmp_path, blocks=3)
    assert "linear CKA, Sequential and Sequential, 360 samples" in said
    assert "SVCCA, Sequential, 360 samples: each step with the last" in said


def test_the_script_of_the_probes_finds_them(tmp_path: Path) -> None:
    printed = run_script("probes.md", tmp_path)
    with fathom.open_run(tmp_path / "runs" / "digits") as run:
        probes = run.probes()
    assert printed == f"{probes}\n{probes['features.0'].eval_accuracy}\n"
    assert all(probe.converged for probe in probes)
    assert min(probe.eval_accuracy for probe in probes) > 0.7
    assert (tmp_path / "probes.svg").is_file()
