"""`fathom.projection_curve`: which layers really need their dimensions."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from fathom.analysis.keeping import Place, folder_of, keep, step_in
from fathom.analysis.outputs import frozen
from fathom.analysis.projection import Projection
from fathom.analysis.randomness import same_randomness
from fathom.analysis.source import Given, directed
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError, number
from fathom.projections import KIND, ProjectionCurve
from fathom.spectral.vectors import check_threshold
from fathom.store.stored import StoredRun

_WHERE = "projection_curve"

THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
"""From where most is lost to where nothing is, by eye on the digits of the demo."""

Evaluate = Callable[[nn.Module], Any]
"""A model -> its accuracy, one number."""


def projection_curve(
    model: nn.Module,
    eval_fn: Evaluate,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    source: Given | None = None,
    layers: LayerFilter | None = None,
    each: bool = True,
    random: bool = False,
    seed: int = 0,
    run: StoredRun | str | os.PathLike[str] | None = None,
    phase: str | None = None,
    step: int | None = None,
) -> ProjectionCurve:
    """Measure accuracy against threshold, with all layers projected at once and one at a time.

    The model is in eval mode meanwhile, without gradients and unseen by its monitors, and
    afterwards as it was, as are the global random states; every evaluation begins with the same
    ones. Thresholds at which the dimensions are the same are evaluated once.

    Args:
        model: The root, wrapped or not.
        eval_fn: Called as `eval_fn(model)`, returns one number: accuracy, or any other score of
            which more is better.
        thresholds: Fractions of the variance, in (0, 1].
        source: Where the directions come from, as in `fathom.project`; None for the monitor that
            is attached to the model.
        layers: As in `fathom.project`.
        each: Whether each layer is projected alone too, which takes as many evaluations as there
            are layers times thresholds.
        random: Measure all layers at once on random directions of the same dimensions too.
        seed: Of these.
        run: A run, or its folder, to record the curve in; None to record nothing.
        phase: As in `fathom.project`.
        step: At which the model was as it is now: of the directions too, where a run has them. None
            for the last step of `run`, or of that source.

    Returns:
        The curve; thresholds ascend.

    Raises:
        ArgumentError: If an argument is outside its rule, or `eval_fn` returns no number.
        RunError: If nothing can be recorded.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> rows = torch.randn(100, 4)
        >>> accuracy = lambda model: (model(rows)[:, 0] > 0).double().mean()
        >>> from fathom.attach import watch
        >>> with watch(model) as monitor:
        ...     _ = model.eval()(rows)
        ...     curve = projection_curve(model, accuracy, [0.5, 1])
        >>> len(curve.all), list(curve.by_layer)
        (2, ['0', '2'])
    """
    if not callable(eval_fn):
        raise ArgumentError(
            f"{_WHERE}: eval_fn must be a function of the model, got {eval_fn!r}. Pass one that "
            "returns its accuracy."
        )
    values = _ascending(thresholds)
    folder = None if run is None else folder_of(run, where=_WHERE)
    kept_at = step_in(run, step, where=_WHERE, needed=False)
    # A monitor has the directions of this moment, whatever step the model is at.
    of_run = step if isinstance(source, StoredRun | str | os.PathLike) else None
    found = directed(model, source, layers, phase=phase, step=of_run, where=_WHERE)
    own = Projection(model, found, threshold=values[0])
    dimensions = []
    for value in values:
        own.threshold = value
        dimensions.append(own.dimensions)
    with frozen(model), same_randomness():
        evaluation = _Evaluation(model, eval_fn, own.widths)
        together = [evaluation.of(own, one) for one in dimensions]
        control = None
        if random:
            other = Projection(model, found, threshold=values[0], seed=seed)
            control = [evaluation.of(other, one) for one in dimensions]
        alone = {
            name: [evaluation.of(own, own.widths | {name: one[name]}) for one in dimensions]
            for name in (own.layers if each else ())
        }
        baseline = evaluation.of(own, own.widths)
    curve = ProjectionCurve(
        thresholds=np.array(values),
        all=np.array(together),
        by_layer={name: np.array(each) for name, each in alone.items()},
        dimensions={
            name: np.array([one[name] for one in dimensions], dtype=np.int64) for name in own.layers
        },
        widths=own.widths,
        baseline=baseline,
        random=None if control is None else np.array(control),
        phase=found.source.phase,
        step=found.source.step if kept_at is None else kept_at,
        source_step=found.source.step,
    )
    if folder is not None:
        keep(Place(folder, curve.name), KIND, curve.to_body())
    return curve


class _Evaluation:
    """What `eval_fn` returns, asked once for each choice of dimensions."""

    def __init__(self, model: nn.Module, eval_fn: Evaluate, widths: dict[str, int]):
        self._model = model
        self._eval_fn = eval_fn
        self._widths = widths
        self._known: dict[tuple[bool, tuple[int, ...]], float] = {}

    def of(self, projection: Projection, dimensions: dict[str, int]) -> float:
        # Nothing is random of what is kept whole.
        is_random = projection.random and dimensions != self._widths
        key = is_random, tuple(dimensions.values())
        if key not in self._known:
            projection.dimensions = dimensions
            # A function for use in a training may leave the model in train mode.
            self._model.eval()
            with same_randomness(), projection:
                found = self._eval_fn(self._model)
            self._known[key] = number(found, where=f"{_WHERE}: the result of eval_fn")
        return self._known[key]


def _ascending(thresholds: object) -> list[float]:
    if isinstance(thresholds, int | float):
        thresholds = [thresholds]
    if not isinstance(thresholds, Sequence | np.ndarray) or not len(thresholds):
        raise ArgumentError(
            f"{_WHERE}: thresholds must be numbers in (0, 1], got {thresholds!r}. "
            "Pass (0.9, 0.99, 1)."
        )
    for value in thresholds:
        check_threshold(value, where=_WHERE)
    return sorted({float(value) for value in thresholds})
