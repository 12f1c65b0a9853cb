"""The plots of a run, as `run.plot` has them."""

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes

from fathom.store.stored import StoredRun
from fathom.views.kept import kept, one_of
from fathom.views.plots.canvas import Panels
from fathom.views.plots.evolution import draw_evolution
from fathom.views.plots.layers import draw_layers
from fathom.views.plots.metrics import draw_metrics
from fathom.views.plots.projection import draw_projection
from fathom.views.plots.similarity import draw_similarity
from fathom.views.plots.spectrum import draw_spectrum
from fathom.views.similarity import KIND, Similarity


class Plots:
    """Plots of a run: each draws on given axes, or makes a figure, and returns the axes.

    Nothing is written or shown, and neither pyplot nor its settings are touched: save with
    `ax.figure.savefig("layers.svg")`. A notebook shows what a method returns. `theme` is `light` or
    `dark`; unasked, it is light, or what fits the figure of given axes.
    """

    def __init__(self, run: StoredRun):
        """Take what is plotted; use `run.plot`.

        Args:
            run: An open run.
        """
        self._run = run

    def layers(
        self,
        *,
        steps: int | Iterable[int] | None = None,
        phase: str | None = None,
        statistic: str = "saturation",
        threshold: float | None = None,
        probes: bool = False,
        runs: Sequence[StoredRun] = (),
        ax: Axes | None = None,
        theme: str | None = None,
    ) -> Axes:
        """Draw saturation, or another statistic, by layer in execution order.

        Hollow marks are provisional readings, crosses coarse ones, arrows the lower bounds of
        sketched layers. The dotted line is the average; layers that it leaves out are shaded.

        Args:
            steps: One or several recorded steps, over each other; None for the last.
            phase: `train` or `eval`; None for eval, or train where that alone was observed.
            statistic: One of `fathom.STATISTICS`.
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.
            probes: Draw the accuracy of the step's probes over it, that on held-out samples solid,
                that on those they were fitted on dashed, and the model's own as a line; of one run
                at one step, unasked the last that has probes. See `fathom.probe`.
            runs: Further runs, over this one; a layer is the same where it has the same name.
            ax: Where to draw; None for a figure of its own.
            theme: `light` or `dark`.

        Returns:
            The axes.

        Raises:
            ArgumentError: If an argument is outside its rule, or there are more than 14 lines.
            RunNotFoundError: If a run has no such step, or the step no probes.
        """
        return draw_layers(
            (self._run, *runs),
            steps=steps,
            phase=phase,
            statistic=statistic,
            threshold=threshold,
            probes=probes,
            ax=ax,
            theme=theme,
        )

    def evolution(
        self,
        *,
        statistic: str = "saturation",
        phase: str | None = None,
        threshold: float | None = None,
        ax: Axes | None = None,
        theme: str | None = None,
    ) -> Axes:
        """Draw layers, in execution order from top to bottom, by steps as a heat map.

        A column reaches half-way to its neighbours; of more than 1,000 steps, or 250 where every
        spectrum is computed for them, every second, fourth and so on is drawn, and the last.
        Hatches are provisional and coarse readings, lower bounds, and cells without a value.

        Args:
            statistic: One of `fathom.STATISTICS`; others than saturation and intrinsic dimension
                are computed from every spectrum, as these are at another threshold.
            phase: `train` or `eval`; None for eval, or train where that alone was observed.
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.
            ax: Where to draw; it shrinks to give room to a colour bar.
            theme: `light` or `dark`.

        Returns:
            The axes of the map.

        Raises:
            ArgumentError: If an argument is outside its rule.
        """
        return draw_evolution(
            self._run,
            statistic=statistic,
            phase=phase,
            threshold=threshold,
            ax=ax,
            theme=theme,
        )

    def spectrum(
        self,
        layer: str,
        *,
        step: int | Iterable[int] | None = None,
        phase: str | None = None,
        threshold: float | None = None,
        runs: Sequence[StoredRun] = (),
        ax: Sequence[Axes] | None = None,
        theme: str | None = None,
    ) -> Panels:
        """Draw the eigenvalues of a layer, and their cumulative share of the variance.

        The mark on the share is the intrinsic dimension: where it reaches the threshold, the dashed
        line. Of a sketch there is what it captured.

        Args:
            layer: Its name.
            step: One or several recorded steps, over each other; None for the last.
            phase: `train` or `eval`; None for eval, or train where that alone was observed.
            threshold: Fraction of the total variance, in (0, 1]; None for that of the run.
            runs: Further runs, over this one.
            ax: Two axes; None for a figure of its own.
            theme: `light` or `dark`.

        Returns:
            The axes of the eigenvalues and of their share.

        Raises:
            ArgumentError: If an argument is outside its rule; of a layer with the names near it.
            RunNotFoundError: If a run has no such step.
        """
        return draw_spectrum(
            (self._run, *runs),
            layer,
            steps=step,
            phase=phase,
            threshold=threshold,
            ax=ax,
            theme=theme,
        )

    def metrics(
        self,
        *,
        names: Sequence[str] | None = None,
        runs: Sequence[StoredRun] = (),
        ax: Sequence[Axes] | None = None,
        theme: str | None = None,
    ) -> Panels:
        """Draw the average saturation of both phases over your metrics, in panels of their own.

        A metric that spans more than three orders of magnitude has a log axis; crosses at the foot
        are steps at which it was nan or infinite.

        Args:
            names: Metrics, in this order; None for the first eight.
            runs: Further runs, over this one.
            ax: One more than there are metrics; None for a figure of its own.
            theme: `light` or `dark`.

        Returns:
            The axes from top to bottom, that of the average first.

        Raises:
            ArgumentError: If there is no such metric or theme.
        """
        return draw_metrics((self._run, *runs), names=names, ax=ax, theme=theme)

    def projection(
        self,
        *,
        step: int | None = None,
        ax: Axes | None = None,
        theme: str | None = None,
    ) -> Axes:
        """Draw the accuracy that is left when layers are projected, by threshold.

        The thick line is that of all layers at once, the dashed one its control on random
        directions, the dotted one the model as it is. Of many layers, those that lose most have
        a colour.

        Args:
            step: Of the curve; None for the last that was recorded.
            ax: Where to draw; None for a figure of its own.
            theme: `light` or `dark`.

        Returns:
            The axes.

        Raises:
            ArgumentError: If the theme is none.
            RunNotFoundError: If the run has no such curve.
        """
        return draw_projection(self._run.path, step=step, ax=ax, theme=theme)

    def similarity(
        self, name: str | None = None, *, ax: Axes | None = None, theme: str | None = None
    ) -> Axes:
        """Draw how alike layers are, as `fathom.similarity` found and kept it in this run.

        Args:
            name: Under which name it was kept; None for the only one.
            ax: Where to draw; it shrinks to give room to a colour bar.
            theme: `light` or `dark`.

        Returns:
            The axes of the map.

        Raises:
            ArgumentError: If there is none of that name, or several and no name.
        """
        found = kept(self._run.path, KIND, Similarity.from_body)
        how = "fathom.similarity(..., run=...)"
        chosen = one_of(found, name, where="similarity", how=how)
        return draw_similarity(chosen, ax=ax, theme=theme)
