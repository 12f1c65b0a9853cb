"""Saturation by layer and epoch of the most different networks (SA Fig. 11)."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.colors import Normalize

from fathom.experiments.curves import by_layer, in_sequence
from fathom.experiments.figures.groups import Page, by_width, families, model_of, pages
from fathom.experiments.figures.networks import left_out, network_sheet, networks, numbers_above
from fathom.experiments.figures.numbers import spread, stacked
from fathom.experiments.figures.sheet import Drawing
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import grouped
from fathom.views.look import COLORMAP
from fathom.views.plots.canvas import FONT, ShownFigure
from fathom.views.plots.ticks import step_ticks


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: where a training has two epochs.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        A figure a page of the shallowest and the deepest, the narrowest and the widest networks.
    """
    several = [each for each in outcomes if len(by_layer(each)) > 1 and by_layer(each).size]
    corners = [each for _, _, own in families(several) for each in _corners(own)]
    for page in pages(corners):
        yield page.stem("evolution"), partial(_draw, page, title)


def _corners(outcomes: Sequence[Outcome]) -> list[Outcome]:
    depths = {
        model: max(len(in_sequence(each)) for each in own)
        for model, own in grouped(outcomes, model_of).items()
    }
    models = {min(depths, key=depths.__getitem__), max(depths, key=depths.__getitem__)}
    if len(set(depths.values())) == 1:
        # As deep as each other, and not the same: all are of interest.
        models = set(depths)
    found = []
    for own in grouped(outcomes, model_of).values():
        widths = list(by_width(own))
        found += [
            each
            for each in own
            if each.task.model in models and each.task.width in (widths[0], widths[-1])
        ]
    return found


def _draw(page: Page, title: str) -> ShownFigure:
    on = network_sheet(page, height=1.7, above=1)
    meshes = []
    for axes, own in networks(on, page):
        means, _, _ = spread(stacked([by_layer(each) for each in own]))
        epochs, layers = means.shape
        meshes.append(
            axes.pcolormesh(
                np.arange(layers + 1) + 0.5,
                np.arange(epochs + 1) + 0.5,
                np.ma.masked_invalid(means),
                cmap=COLORMAP,
                norm=Normalize(0, 1),
                rasterized=True,
            )
        )
        axes.grid(visible=False)
        numbers_above(on, axes, page, own)
    most = max(len(by_layer(each)) for each in page.outcomes)
    for axes in on.axes:
        axes.set_ylim(0.5, most + 0.5)
        axes.yaxis.set_major_locator(step_ticks(range(1, most + 1)))
    on.left("epoch")
    bar = on.figure.colorbar(meshes[0], ax=on.axes, pad=0.01, fraction=0.03, aspect=30)
    bar.set_label("saturation (share of the layer's width)", color=on.look.text, size=FONT + 0.5)
    bar.ax.tick_params(color=on.look.line, labelcolor=on.look.text, labelsize=FONT)
    bar.outline.set_visible(False)
    return on.finish(
        "Saturation by layer and epoch, on test data" + left_out(page),
        page.outcomes,
        title=title,
        entries=[],
        shown="their mean",
    )
