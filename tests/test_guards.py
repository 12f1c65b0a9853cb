"""What must stay true of the repository as a whole."""

import inspect
import re
import subprocess
import sys
import tomllib
from functools import reduce
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest

import fathom
from fathom.cli.main import app
from regimes import section_of, sentence_of

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_these() -> None:
    assert sorted(fathom.__all__) == [
        "ArgumentError",
        "ClosedError",
        "DamagedRecordError",
        "DataNotFoundError",
        "Embedding",
        "ExperimentError",
        "FathomError",
        "FathomWarning",
        "LayerReport",
        "LayerSelectionError",
        "MissingExtraError",
        "Moments",
        "Monitor",
        "NotObservedError",
        "Probe",
        "Probes",
        "Projection",
        "ProjectionCurve",
        "RanksError",
        "Reading",
        "Run",
        "RunBusyError",
        "RunError",
        "RunExistsError",
        "RunNotFoundError",
        "STATISTICS",
        "ShapeError",
        "Similarity",
        "SimilarityOverSteps",
        "Snapshot",
        "Spectrum",
        "condition_number",
        "determinant",
        "diagonal_trace",
        "effective_rank",
        "eigenspace_similarity",
        "embed",
        "idle_features",
        "intrinsic_dimension",
        "log_determinant",
        "open_run",
        "participation_ratio",
        "power_law_exponent",
        "probe",
        "project",
        "projection_curve",
        "rankme",
        "saturation",
        "similarity",
        "similarity_over_steps",
        "stable_rank",
        "total_variance",
        "watch",
    ]
    assert all(hasattr(fathom, name) for name in fathom.__all__)


def test_every_statistic_is_a_public_function() -> None:
    assert all(callable(getattr(fathom, name)) for name in fathom.STATISTICS)


def test_the_version_is_the_newest_of_the_changelog() -> None:
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == fathom.__version__ == version("fathom")


def test_every_command_is_in_the_readme_and_every_argument_in_the_documentation() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"fathom {command.name or command.callback.__name__}" in readme or (
            f"`{command.name or command.callback.__name__}`" in readme
        )
    watching = (ROOT / "docs" / "watching.md").read_text()
    for name in list(inspect.signature(fathom.watch).parameters)[2:]:
        assert f"`{name}=" in watching, name


def test_the_readme_shows_no_name_that_is_not_there() -> None:
    shown = re.findall(r"\bfathom((?:\.\w+)+)\(", (ROOT / "README.md").read_text())
    assert ".sinks.CSV" in shown
    for name in shown:
        first, *rest = name.split(".")[1:]
        assert first in {*fathom.__all__, "sinks", "integrations", "delve"}, name
        assert callable(reduce(getattr, rest, getattr(fathom, first))), name


PARTS = """
import sys
import fathom
optional = {
    "accelerate", "ignite", "lightning", "matplotlib", "mlflow", "pandas", "polars", "pyarrow",
    "tensorboard", "textual", "trackio", "transformers", "wandb",
}
print(*sorted(optional & sys.modules.keys()))
sinks = fathom.sinks
print(*(each.__name__ for each in (sinks.CSV, sinks.MLflow, sinks.WandB)))
print(fathom.delve.SaturationTracker.__name__, fathom.delve.CheckLayerSat.__name__)
print(fathom.integrations.ignite.FathomHandler.__name__)
print(*(hasattr(each, "nothing") for each in (fathom, fathom.integrations)))
"""


def test_all_parts_are_there_after_one_import_which_takes_no_optional_package() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "", "CSV MLflow WandB", "SaturationTracker CheckLayerSat", "FathomHandler", "False False",
    ]  # fmt: skip


def test_all_extras_are_installed_together_and_fit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for each in needed:
        # It raises where one is not installed.
        assert version(re.split(r"[\[<>=; ]", each)[0])


def test_the_page_of_regimes_lists_the_tests_of_regimes(request: pytest.FixtureRequest) -> None:
    page = (ROOT / "docs" / "regimes.md").read_text()
    listed = set(re.findall(r"^\| (\w.*?) \|", page, flags=re.MULTILINE)) - {"what was run"}
    run = {sentence_of(item) for item in request.session.items if section_of(item)}
    assert run <= listed, "docs/regimes.md is behind the tests: make regimes"
    whole = {Path(item.path) for item in request.session.items} >= set(
        ROOT.glob("tests/**/test_*.py")
    )
    assert not whole or run == listed, "docs/regimes.md is ahead of the tests: make regimes"
    assert "failed" not in page
