"""A projection curve and an embedding of digits, light and dark."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl

import fathom
from fathom.views.look import THEMES
from fathom.views.plots.canvas import figure_of
from fathom.views.plots.projection import draw_curve
from fathom.views.run import Run

# The tests have a small network that learns the digits in seconds; so do the pictures.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from digits_network import Learnt


def draw(run: Run, folder: Path) -> Iterator[Path]:
    """Write both in each theme; of a network of their own, as the demo keeps no covariances."""
    with tempfile.TemporaryDirectory() as scratch:
        learnt = Learnt(Path(scratch) / "digits", epochs=12)
        curve = fathom.projection_curve(
            learnt.model, learnt.accuracy, source=learnt.folder, random=True
        )
        embedding = fathom.embed(learnt.model, learnt.test, learnt.folder)
    for theme in THEMES:
        plots = {
            "projection": draw_curve(curve, title="digits", theme=theme),
            "embedding": embedding.plot("hidden", theme=theme),
        }
        for name, axes in plots.items():
            path = folder / f"{name}-{theme}.svg"
            with mpl.rc_context({"svg.hashsalt": name}):
                figure_of(axes).savefig(path, metadata={"Date": None})
            yield path
