"""`make pictures` draws every view, small enough to stand in a page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from browser import needed
from fathom.views.look import THEMES
from made_runs import made_reading, made_run

ROOT = Path(__file__).parents[2]

DRAWN = {
    "plots": {
        f"{plot}-{theme}.svg"
        for plot in ("layers", "evolution", "spectrum", "metrics")
        for theme in THEMES
    },
    "terminal": {"top.svg"},
    "projections": {
        f"{plot}-{theme}.svg" for plot in ("projection", "embedding") for theme in THEMES
    },
    "pages": {*(f"page-{theme}.png" for theme in THEMES), "runs-light.png"},
    "similarity": {
        f"{name}-{theme}.svg" for name in ("similarity", "similarity-steps") for theme in THEMES
    },
}


@pytest.mark.parametrize("view", DRAWN)
def test_every_view_is_drawn(view: str, tmp_path: Path) -> None:
    if view == "pages":
        needed()
    run = made_run(
        tmp_path / "demo",
        range(4),
        lambda step: [made_reading(f"features.{n}", dimension=1 + n % 7) for n in (3, 7, 10)],
    )
    done = subprocess.run(
        [sys.executable, "pictures", "--run", run, "--write", tmp_path / "p", "--only", view],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert {each.name for each in (tmp_path / "p").iterdir()} == DRAWN[view]
    for name in DRAWN[view]:
        assert (ROOT / "docs" / "pictures" / name).is_file(), "make pictures, and commit them"


def test_every_view_is_looked_at_here() -> None:
    drawn = set().union(*DRAWN.values())
    pictures = ROOT / "docs" / "pictures"
    assert {each.name for each in pictures.iterdir() if each.name != "findings"} == drawn


def test_the_page_of_findings_shows_every_figure_that_is_kept_for_it() -> None:
    docs = ROOT / "docs"
    shown = re.findall(r"\((pictures/findings/[^)]+)\)", (docs / "findings.md").read_text())
    kept = [each.relative_to(docs).as_posix() for each in docs.glob("pictures/findings/*/*")]
    assert sorted(kept) == sorted(shown)
