"""A run as users meet it: its numbers, and its views of itself."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.extras import require
from fathom.listing import html_listing
from fathom.markup import html_table
from fathom.store.stored import StoredRun
from fathom.store.timeline import Timeline

if TYPE_CHECKING:
    from fathom.views.plots.plots import Plots


def open_run(path: str | os.PathLike[str]) -> "Run":
    """Open a run to read it; it may still be growing.

    Args:
        path: The folder that was given to `fathom.watch`.

    Returns:
        The run. Each of its properties reads what is on disk at that moment.

    Raises:
        RunNotFoundError: If there is no run.
        RunError: If it cannot be read.

    Example:
        >>> import fathom, tempfile, torch
        >>> folder = tempfile.mkdtemp()
        >>> model = torch.nn.Linear(3, 2)
        >>> with fathom.watch(model, folder + "/run") as monitor:
        ...     _ = model(torch.randn(10, 3))
        ...     _ = monitor.snapshot(step=0)
        >>> fathom.open_run(folder + "/run").steps
        [0]
    """
    return Run(Path(path))


class Run(StoredRun):
    """Everything recorded for one training."""

    def timeline(self, *, most: int = 2000) -> Timeline:
        """Return the main numbers of every step at once, without reading the spectra.

        Args:
            most: Of more steps every second, or fourth and so on, is held, and the last.

        Returns:
            Saturation, intrinsic dimension, rows and status of each layer, the averages and the
            metrics; its `refresh` takes in what is recorded later.
        """
        return Timeline(self, most=most)

    @property
    def plot(self) -> "Plots":
        """Its plots: `run.plot.layers()`, `evolution`, `spectrum` and `metrics`.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        require("matplotlib", extra="plots")
        from fathom.views.plots.plots import Plots

        return Plots(self)

    def _repr_html_(self) -> str:
        """Show the last step as a table with bars, in a notebook."""
        steps = self.steps
        title = f"{self.path}: {len(steps)} steps, {len(self.layers)} layers"
        if not steps:
            return html_table((), (), title=title, notes=["nothing recorded yet"])
        snapshot = self.snapshot()
        return html_listing(
            snapshot.phase(snapshot.usual_phase),
            title=f"{title}; step {snapshot.step}, {snapshot.usual_phase}",
            notes=snapshot.notes(snapshot.usual_phase),
        )
