"""`fathom plot`: a file of each kind, and one clear line where something is wrong."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import fathom
from fathom.cli.main import main
from fathom.projections import KIND
from fathom.store.analyses import write_analysis
from made_runs import made_reading, made_run

Plot = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        made_run(
            folder / name,
            range(3),
            lambda step: [made_reading(f"features.{n}", dimension=1 + n + step) for n in range(6)],
            metrics=lambda step: {"loss": 1 / (step + 1)},
        )
    curve = fathom.ProjectionCurve(
        thresholds=np.array([0.9, 1]),
        all=np.array([0.5, 0.9]),
        by_layer={"features.0": np.array([0.7, 0.9])},
        dimensions={"features.0": np.array([3, 12])},
        widths={"features.0": 20},
        baseline=0.9,
        step=2,
    )
    write_analysis(folder / "one", KIND, curve.name, curve.to_body())
    for name in ("cka", "svcca"):
        found = fathom.Similarity(
            name, ("A", "A"), True, ("x", "y"), ("x", "y"), np.eye(2), samples=9
        )
        write_analysis(folder / "one", "similarity", name, found.to_body())
    return folder


@pytest.fixture
def plot(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plot:
    """Run `fathom plot` in this process, in the folder of the runs."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(runs)
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        monkeypatch.setattr(sys, "argv", ["fathom", "plot", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_the_installed_command_draws(runs: Path, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("fathom")
    done = subprocess.run(
        [script, "plot", runs / "one", "layers"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "one-layers.svg\n", "")
    assert [each.name for each in tmp_path.iterdir()] == ["one-layers.svg"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["one", "layers"], "one-layers.svg"),
        (["one", "two", "layers", "--step", "0", "--step", "2"], "one-two-layers.svg"),
        (["one", "evolution", "--statistic", "effective_rank"], "one-evolution.svg"),
        (["one", "spectrum", "--layer", "features.3", "--theme", "dark"], "one-spectrum.svg"),
        (["one", "two", "metrics"], "one-two-metrics.svg"),
        (["one", "projection", "--step", "2"], "one-projection.svg"),
        (["one", "similarity", "--name", "svcca"], "one-similarity.svg"),
    ],
)
def test_it_writes_a_picture_here_and_says_where(
    runs: Path, plot: Plot, arguments: list[str], name: str
) -> None:
    assert plot(*arguments) == (0, f"{name}\n", "")
    assert ElementTree.parse(runs / name).getroot().tag.endswith("svg")
    assert not list(runs.glob(".*.unfinished"))


@pytest.mark.parametrize(
    ("name", "head"),
    [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml"), ("b.svg", b"<?xml")],
)
def test_the_ending_says_the_form(runs: Path, plot: Plot, name: str, head: bytes) -> None:
    (runs / "b.svg").write_text("what was there is replaced")
    assert plot("one", "layers", "-o", name, "--threshold", "0.9")[0] == 0
    assert (runs / name).read_bytes().startswith(head)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one", "layers", "-o", "a.gif"], "--output must end in .svg, .png, .pdf, got 'a.gif'"),
        (["nowhere", "layers", "-o", "noending"], "got 'noending'"),
        (["one", "layers", "-o", "no/where.svg"], "must be writable, got no/where.svg"),
        (["one", "layer"], "got 'layer'. Did you mean 'layers'?"),
        (["one"], "PLOT must follow the runs, got 'one' alone. It is one of layers, "),
        (["layers"], "RUN must stand before the plot, got layers alone"),
        (["layers", "one"], "PLOT, which follows the runs, must be one of layers, "),
        (["nowhere", "layers"], "must be the folder of a run, got nowhere"),
        (["one", "spectrum"], "--layer must name a layer for spectrum, got none"),
        (["one", "spectrum", "--layer", "feature.3"], "There are: features.3"),
        (["one", "evolution", "--layer", "x"], "--layer must be left out of evolution, got 'x'"),
        (["one", "two", "evolution"], "evolution must be of one run, got 2"),
        (["one", "two", "projection"], "projection must be of one run, got 2"),
        (["two", "projection"], "run must hold a curve, got"),
        (
            ["one", "projection", "--step", "1", "--step", "2"],
            "--step must be given once for projection, got [1, 2]",
        ),
        (["one", "layers", "--phase", "test"], "--phase must be one of train, eval"),
        (["one", "layers", "--step", "9"], "step must be one of the run, got 9"),
        (["one", "layers", "--threshold", "2"], "threshold must be in (0, 1], got 2.0"),
        (["one", "layers", "--theme", "dim"], "--theme must be one of light, dark, got 'dim'"),
        (["one", "layers", "--statistic", "rank"], "--statistic must be one of saturation, "),
    ],
)
def test_a_wrong_use_is_one_line_and_writes_nothing(
    runs: Path, plot: Plot, arguments: list[str], message: str
) -> None:
    before = sorted(each.name for each in runs.iterdir())
    status, out, err = plot(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(each.name for each in runs.iterdir()) == before


def test_a_folder_s_name_never_reaches_the_terminal_as_it_is(runs: Path, plot: Plot) -> None:
    name = "\x1b]0;owned\x07.svg"
    assert plot("one", "layers", "-o", name) == (0, "\\x1b]0;owned\\x07.svg\n", "")
    assert (runs / name).is_file()
