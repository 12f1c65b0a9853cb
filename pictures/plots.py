"""The plots of a run, light and dark."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

from fathom.views.look import THEMES
from fathom.views.plots.canvas import figure_of
from fathom.views.run import Run

# The layer with the highest saturation of the demo, and in the middle of the network.
_LAYER = "features.10"


def draw(run: Run, folder: Path) -> Iterator[Path]:
    """Write each plot in each theme, the same to the byte for the same run."""
    steps = run.steps
    some = [steps[0], steps[len(steps) // 4], steps[-1]]
    plots: dict[str, Callable[[str], Any]] = {
        "layers": lambda theme: run.plot.layers(steps=some, theme=theme),
        "evolution": lambda theme: run.plot.evolution(theme=theme),
        "spectrum": lambda theme: run.plot.spectrum(_LAYER, step=some, theme=theme)[0],
        "metrics": lambda theme: run.plot.metrics(theme=theme)[0],
    }
    for name, plot in plots.items():
        for theme in THEMES:
            path = folder / f"{name}-{theme}.svg"
            with mpl.rc_context({"svg.hashsalt": name}):
                figure_of(plot(theme)).savefig(path, metadata={"Date": None})
            yield path
