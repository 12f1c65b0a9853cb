"""A run as users meet it: its numbers, and its views of itself."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.extras import require
from fathom.listing import html_listing
from fathom.markup import html_table
from fathom.probes import Probes
from fathom.projections import ProjectionCurve
from fathom.store.stored import StoredRun
from fathom.store.timeline import Timeline
from fathom.views import similarity, step_similarity
from fathom.views.curves import curves_of
from fathom.views.kept import kept
from fathom.views.probed import stored_probes
from fathom.views.similarity import Similarity
from fathom.views.step_similarity import SimilarityOverSteps

if TYPE_CHECKING:
    import pandas
    import polars

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

    def projections(self) -> list[ProjectionCurve]:
        """Return the curves that `fathom.projection_curve` recorded, by step.

        Returns:
            Those of no step, measured at some moment, last. Damaged ones are left out, with a
            warning.
        """
        return curves_of(self.path)

    def probes(self, step: int | None = None, *, legacy: bool = False) -> Probes:
        """Return the probes of a step, as `fathom.probe` stored them.

        Args:
            step: At which the model was probed; None for the last that has probes.
            legacy: Those that were fitted with `legacy=True`.

        Returns:
            One a layer, in execution order.

        Raises:
            RunNotFoundError: If there are none.
            DamagedRecordError: If they are not as they were written.
        """
        return stored_probes(self.path, step, legacy=legacy)

    @property
    def plot(self) -> "Plots":
        """Its plots: `run.plot.layers()`, `evolution`, `spectrum`, `metrics`, `projection`, ...

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        require("matplotlib", extra="plots")
        from fathom.views.plots.plots import Plots

        return Plots(self)

    def similarities(self) -> dict[str, Similarity]:
        """Return what `fathom.similarity` found and kept here.

        Returns:
            By the names they were kept under. One that is not as it was written is left out, with
            a warning.
        """
        return kept(self.path, similarity.KIND, Similarity.from_body)

    def similarities_over_steps(self) -> dict[str, SimilarityOverSteps]:
        """Return what `fathom.similarity_over_steps` found and kept here.

        Returns:
            By the names they were kept under. One that is not as it was written is left out, with
            a warning.
        """
        return kept(self.path, step_similarity.KIND, SimilarityOverSteps.from_body)

    def to_pandas(
        self,
        *,
        wide: bool = False,
        threshold: float | None = None,
        statistics: Sequence[str] | None = None,
    ) -> "pandas.DataFrame":
        """Return every number as a frame of pandas; needs the extra `pandas`.

        Your metrics are a frame of their own: `pandas.DataFrame(run.metrics, index=run.steps)`.

        Args:
            wide: A row a step, phase and layer, with a column a statistic; else a row a statistic
                too, as `fathom export` writes it.
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.
            statistics: Some of `fathom.STATISTICS`; None for all. Saturation and intrinsic
                dimension at the run's threshold are read as they stand; others are computed from
                every spectrum, half a millisecond for all of a reading.

        Returns:
            With names as categories, of layers in execution order; nan where there is no number.
            A reading whose spectrum is damaged on the disk is left out, with a warning; what is
            read as it stands is there all the same.

        Raises:
            ArgumentError: If the threshold or a statistic is none.
            MissingExtraError: If pandas is not installed.

        Example:
            >>> import fathom, tempfile, torch
            >>> folder = tempfile.mkdtemp()
            >>> model = torch.nn.Linear(3, 2)
            >>> with fathom.watch(model, folder + "/run") as monitor:
            ...     _ = model(torch.randn(10, 3))
            ...     _ = monitor.snapshot(step=0)
            >>> frame = fathom.open_run(folder + "/run").to_pandas(wide=True)
            >>> list(frame.columns[:8])
            ['step', 'phase', 'layer', 'kind', 'width', 'rows', 'samples', 'saturation']
        """
        from fathom.views.frames import pandas_frame

        return pandas_frame(self, wide=wide, threshold=threshold, statistics=statistics)

    def to_polars(
        self,
        *,
        wide: bool = False,
        threshold: float | None = None,
        statistics: Sequence[str] | None = None,
    ) -> "polars.DataFrame":
        """Return every number as a frame of polars; needs the extra `polars`.

        Args:
            wide: As of `to_pandas`.
            threshold: As of `to_pandas`.
            statistics: As of `to_pandas`.

        Returns:
            With names as enumerations, of layers in execution order; null where there is no number.

        Raises:
            ArgumentError: If the threshold or a statistic is none.
            MissingExtraError: If polars is not installed.
        """
        from fathom.views.frames import polars_frame

        return polars_frame(self, wide=wide, threshold=threshold, statistics=statistics)

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
