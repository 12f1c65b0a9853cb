"""What the page on similarity shows, from its own script."""

import runpy
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import matplotlib as mpl

from fathom.views.look import THEMES
from fathom.views.plots.canvas import figure_of
from fathom.views.run import Run

# The tests run the scripts of the pages; so do the pictures.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from page_scripts import script_of


def draw(run: Run, folder: Path) -> Iterator[Path]:
    """Write the heat maps of two seeds, and of one over its training, in each theme."""
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        Path("script.py").write_text(script_of("similarity.md", blocks=2))
        made = runpy.run_path("script.py")
    for name, found in (("similarity", made["found"]), ("similarity-steps", made["over"])):
        for theme in THEMES:
            path = folder / f"{name}-{theme}.svg"
            with mpl.rc_context({"svg.hashsalt": name}):
                figure_of(found.plot(theme=theme)).savefig(path, metadata={"Date": None})
            yield path
