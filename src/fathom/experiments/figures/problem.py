"""Saturation and accuracy over how hard the problem is: its classes or its clutter (EP)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.ticker import FixedLocator, FormatStrFormatter

from fathom.experiments.curves import curve, last, metric
from fathom.experiments.figures.groups import Page, by_width, families, paged
from fathom.experiments.figures.numbers import stacked
from fathom.experiments.figures.sheet import MEAN_AND_RANGE, Drawing, band, sheet
from fathom.experiments.figures.widths import width_colours, width_entries
from fathom.experiments.outcome import Numbers, Outcome
from fathom.experiments.problems import grouped, problem_of
from fathom.views.plots.canvas import ShownFigure

_LABELS = {"classes": "number of classes", "clutter": "clutter (share of a photograph)"}


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: where one data set has several numbers of classes, or clutters.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        A figure an axis and family: a column a model, and what else of the problem differs.
    """
    for suffix, family, own in families(outcomes):
        for axis in _LABELS:
            columns = {
                head: trainings
                for head, trainings in grouped(own, partial(_head, axis)).items()
                if len({_place(axis, each) for each in trainings}) > 1
            }
            for page in paged(suffix, family, columns):
                yield page.stem(f"problem-{axis}"), partial(_draw, page, axis, title)


def _head(axis: str, outcome: Outcome) -> str:
    problem = problem_of(outcome)
    rest = replace(problem, whole=True) if axis == "classes" else replace(problem, clutter=0.0)
    return f"{outcome.task.model} · {rest}"


def _place(axis: str, outcome: Outcome) -> float:
    problem = problem_of(outcome)
    return problem.clutter if axis == "clutter" else problem.classes


def _draw(page: Page, axis: str, title: str) -> ShownFigure:
    rows: list[tuple[Callable[[Outcome], Numbers], str]] = [(curve, page.family.level)]
    if not page.family.reconstructs:
        rows.append((_accuracy, "test accuracy (share of the pictures)"))
    on = sheet(len(rows), len(page.columns), height=2.2)
    colour_of = width_colours(page.outcomes)
    for column, (head, trainings) in enumerate(page.columns):
        on.head(column, head)
        for width, own in by_width(trainings).items():
            colour, sign = colour_of[width]
            by_place = dict(sorted(grouped(own, partial(_place, axis)).items()))
            for row, (number, _) in enumerate(rows):
                numbers = [[last(number(each)) for each in some] for some in by_place.values()]
                band(
                    on.grid[row][column],
                    list(stacked([np.array(some) for some in numbers]).T),
                    colour=colour,
                    marker=sign,
                    places=list(by_place),
                )
        axes = on.grid[-1][column]
        on.below(column, _LABELS[axis])
        axes.xaxis.set_major_locator(
            FixedLocator(sorted({_place(axis, each) for each in trainings}))
        )
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    for row, (_, label) in enumerate(rows):
        on.label(row, label)
    for axes, *_ in on.grid[1:]:
        axes.set_ylim(top=1.02)
        # Room for markers at 1, but no label above it: there is no such share.
        low = axes.get_ylim()[0]
        axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 1 + 1e-9])
    on.share(0)
    return on.finish(
        f"{'Saturation' if len(rows) == 1 else 'Saturation and accuracy'} by "
        f"{_LABELS[axis].partition(' (')[0]} after the last epoch, on test data",
        page.outcomes,
        title=title,
        entries=width_entries(page.family, colour_of),
        shown=MEAN_AND_RANGE,
    )


def _accuracy(outcome: Outcome) -> Numbers:
    return metric(outcome, "test_accuracy")
