"""Saturation against accuracy and losses, a dot a training (SA Fig. 5, 8, 9, 12, 13, 14)."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from fathom.experiments.curves import curve, last, metric
from fathom.experiments.figures.groups import Family, by_width, families, model_of
from fathom.experiments.figures.sheet import (
    WIDTH,
    Drawing,
    Entry,
    Sheet,
    colours,
    marker,
    sample,
    sheet,
)
from fathom.experiments.outcome import Numbers, Outcome
from fathom.experiments.problems import grouped, problem_of
from fathom.views.findings import HIGH_AVERAGE
from fathom.views.look import Look
from fathom.views.plots.canvas import ShownFigure

_ENOUGH = 5
# Beyond such a ratio the small losses would all lie on the axis.
_RATIO = 20


def drawings(outcomes: Sequence[Outcome], *, title: str) -> Iterator[Drawing]:
    """Say which figures there are: accuracies where there are some, and losses.

    Args:
        outcomes: The trainings.
        title: Of the experiment.

    Yields:
        Two figures a family.
    """
    for suffix, family, own in families(outcomes):
        end = f"-{suffix}" * bool(suffix)
        if _known(own, "test_accuracy"):
            yield f"accuracy{end}", partial(_accuracy, family, own, title)
        if _known(own, "train_loss") or _known(own, "test_loss"):
            yield f"losses{end}", partial(_losses, family, own, title)


def _known(outcomes: Sequence[Outcome], name: str) -> bool:
    return any(
        math.isfinite(last(metric(each, name))) and math.isfinite(last(curve(each)))
        for each in outcomes
    )


def _accuracy(family: Family, outcomes: Sequence[Outcome], title: str) -> ShownFigure:
    on = sheet(1, 1, height=3.6, width=WIDTH)
    (axes,) = on.axes
    entries = _dots(on, axes, family, outcomes, "test_accuracy")
    entries.append((_bend(axes, on.look), f"{HIGH_AVERAGE:.0%} saturation"))
    lines = [
        _fit(axes, *_points(own, "test_accuracy"), colour=colour)
        for own, colour in _problems(outcomes, on.look)
    ]
    if any(lines):
        entries.append((sample(on.look.faint), "least squares, each side"))
    on.label(0, "test accuracy (share of the pictures)")
    on.below(0, family.level)
    return on.finish(
        "Saturation and test accuracy after the last epoch, on test data (a dot a training)",
        outcomes,
        title=title,
        entries=entries,
    )


def _losses(family: Family, outcomes: Sequence[Outcome], title: str) -> ShownFigure:
    on = sheet(1, 2, height=3.2)
    for place, part in enumerate(("train", "test")):
        entries = _dots(on, on.axes[place], family, outcomes, f"{part}_loss")
        on.below(place, family.level)
        on.head(place, f"{part} loss")
    on.label(0, f"loss ({family.loss})")
    values = np.concatenate([_points(outcomes, f"{part}_loss")[1] for part in ("train", "test")])
    if values.min() > 0 and values.max() > _RATIO * values.min():
        on.axes[0].set_yscale("log")
        on.axes[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        on.axes[0].yaxis.set_major_formatter(FormatStrFormatter("%g"))
        on.axes[0].yaxis.set_minor_locator(NullLocator())
    else:
        on.axes[0].set_ylim(bottom=min(0.0, values.min()))
    return on.finish(
        "Saturation on test data, and losses, after the last epoch (a dot a training)",
        outcomes,
        title=title,
        entries=entries,
    )


def _points(outcomes: Sequence[Outcome], name: str) -> tuple[Numbers, Numbers]:
    points = np.array([(last(curve(each)), last(metric(each, name))) for each in outcomes])
    x, y = points[np.isfinite(points).all(1)].T
    return x, y


def _problems(outcomes: Sequence[Outcome], look: Look) -> list[tuple[list[Outcome], str]]:
    found = grouped(outcomes, problem_of)
    return list(zip(found.values(), colours(len(found), look), strict=True))


def _dots(
    on: Sheet, axes: Axes, family: Family, outcomes: Sequence[Outcome], name: str
) -> list[Entry]:
    """Draw the trainings of each problem, model and width as dots.

    Args:
        on: The sheet.
        axes: Of it.
        family: Of all networks.
        outcomes: The trainings.
        name: Of the metric along the y axis.

    Returns:
        The entries of the legend.
    """
    models, widths = list(grouped(outcomes, model_of)), list(by_width(outcomes))
    sizes = dict(zip(widths, np.linspace(3.5, 8.5, len(widths)).tolist(), strict=True))
    problems = _problems(outcomes, on.look)
    for own, colour in problems:
        for (model, width), trainings in grouped(
            own, lambda each: (each.task.model, each.task.width)
        ).items():
            axes.plot(
                *_points(trainings, name),
                linestyle="none",
                marker=marker(models.index(model)),
                markersize=sizes[width],
                color=colour,
                alpha=0.65,
                markeredgecolor=on.look.background,
                markeredgewidth=0.5,
            )
    axes.set_xlim(-0.02, 1.02)
    entries: list[Entry] = [
        (sample(colour, marker="o", line=False), str(problem_of(own[0])))
        for own, colour in problems
    ]
    if len(models) > 1:
        entries += [
            (sample(on.look.faint, marker=marker(place), line=False), model)
            for place, model in enumerate(models)
        ]
    if len(widths) > 1:
        for width in (widths[0], widths[-1]):
            dot = sample(on.look.faint, marker="o", line=False)
            dot.set_markersize(sizes[width])
            entries.append((dot, family.width_words(width)))
    return entries


def _bend(axes: Axes, look: Look) -> Line2D:
    return axes.axvline(HIGH_AVERAGE, color=look.faint, linestyle="--", linewidth=1.0, zorder=1)


def _fit(axes: Axes, x: Numbers, y: Numbers, *, colour: str) -> int:
    """Draw a least-squares line on each side of the bend that has enough different dots.

    Args:
        axes: Where.
        x: Saturations.
        y: Accuracies.
        colour: Of the lines.

    Returns:
        How many were drawn.
    """
    drawn = 0
    for side in (x <= HIGH_AVERAGE, x > HIGH_AVERAGE):
        if side.sum() >= _ENOUGH and len(np.unique(x[side])) > 2:
            slope, start = np.linalg.lstsq(
                np.stack([x[side], np.ones(side.sum())], 1), y[side], rcond=None
            )[0]
            ends = np.array([x[side].min(), x[side].max()])
            axes.plot(ends, start + slope * ends, color=colour, linewidth=1.5)
            drawn += 1
    return drawn
