"""The page "Coming from Delve": its script runs, and it names what there is."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import fathom
from fathom.delve import SaturationTracker
from fathom.delve.writers import WRITERS

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from-delve.md").read_text()


def test_the_script_of_the_page_runs_in_an_empty_folder(tmp_path: Path) -> None:
    script = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert script is not None
    done = subprocess.run(
        [sys.executable, "-c", script[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.strip().splitlines()
    assert head.startswith(";accuracy;loss;train-saturation_0;train-intrinsic-dimensionality_0;")
    assert [row.partition(";")[0] for row in rows] == ["0", "1", "2"]
    assert len(list(tmp_path.glob("my_experiment_*_epoch_2.png"))) == 4
    with fathom.open_run(tmp_path / "my_experiment" / "fathom") as run:
        assert run.steps == [0, 1, 2]
        assert list(run.metrics) == ["accuracy", "loss"]


def test_every_argument_and_writer_and_method_is_on_the_page() -> None:
    for name in [*list(inspect.signature(SaturationTracker).parameters), *WRITERS]:
        assert f"`{name}`" in PAGE, name
    for name in vars(SaturationTracker):
        if not name.startswith("_"):
            assert f"`{name}`" in PAGE, name
