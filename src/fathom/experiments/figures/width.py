"""Intrinsic dimension and saturation over width (SA Fig. 2)."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from fathom.experiments.curves import curve, dimension, last
from fathom.experiments.figures.groups import Page, by_width, families, model_of, paged
from fathom.experiments.figures.numbers import spread
from fathom.experiments.figures.sheet import Drawing, colours, marker, sample, sheet
from fathom.experiments.figures.widths import width_axis
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import grouped, problem_of
from fathom.views.plots.canvas import ShownFigure


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: where a family of networks has two widths.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        A figure a family: a column a model.
    """
    for suffix, family, own in families(outcomes):
        if len(by_width(own)) > 1:
            for page in paged(suffix, family, grouped(own, model_of)):
                yield page.stem("width"), partial(_draw, page, title)


def _draw(page: Page, title: str) -> ShownFigure:
    family = page.family
    on = sheet(2, len(page.columns), height=2.1)
    problems = list(grouped(page.outcomes, problem_of))
    colour_of = dict(zip(problems, colours(len(problems), on.look), strict=True))
    for place, (head, column) in enumerate(page.columns):
        on.head(place, head)
        for problem, own in grouped(column, problem_of).items():
            widths = by_width(own)
            sign = marker(problems.index(problem))
            for axes, number in zip(
                (row[place] for row in on.grid), (dimension, curve), strict=True
            ):
                dots = [
                    [last(number(each)) for each in each_width] for each_width in widths.values()
                ]
                axes.plot(
                    [width for width, some in zip(widths, dots, strict=True) for _ in some],
                    [dot for some in dots for dot in some],
                    linestyle="none",
                    marker=sign,
                    markersize=4,
                    markeredgewidth=0,
                    alpha=0.45,
                    color=colour_of[problem],
                )
                means = [float(spread(np.array(some))[0]) for some in dots]
                axes.plot(list(widths), means, color=colour_of[problem], linewidth=1.3)
        width_axis(on, place, list(by_width(column)), family.width)
    on.label(0, family.dimension)
    on.grid[0][0].set_ylim(bottom=0)
    on.label(1, family.level)
    on.share(1)
    entries = [
        (sample(colour_of[problem], marker=marker(place)), str(problem))
        for place, problem in enumerate(problems)
    ]
    return on.finish(
        "Intrinsic dimension and saturation by width, after the last epoch, on test data",
        page.outcomes,
        title=title,
        entries=entries,
        shown="each, and their mean",
    )
