"""`make pictures` draws every view, small enough to stand in a page."""

import subprocess
import sys
from pathlib import Path

from fathom.views.look import THEMES
from made_runs import made_reading, made_run

ROOT = Path(__file__).parents[2]


def test_every_plot_is_drawn_light_and_dark(tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "demo",
        range(4),
        lambda step: [made_reading(f"features.{n}", dimension=1 + n % 7) for n in (3, 7, 10)],
    )
    done = subprocess.run(
        [sys.executable, "pictures", "--run", run, "--write", tmp_path / "p", "--only", "plots"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    names = {
        f"{plot}-{theme}.svg"
        for plot in ("layers", "evolution", "spectrum", "metrics")
        for theme in THEMES
    }
    assert {each.name for each in (tmp_path / "p").iterdir()} == names
    for name in names:
        assert (ROOT / "docs" / "pictures" / name).is_file(), "make pictures, and commit them"
