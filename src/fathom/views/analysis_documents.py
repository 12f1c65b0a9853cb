"""What analyses found, as the page reads it: a part of the document of a run."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from fathom.probes import Probes
from fathom.projections import ProjectionCurve
from fathom.store.timeline import Timeline
from fathom.views.analyses import Analyses
from fathom.views.numbers import exact, number, packed_shares, plain
from fathom.views.plots.names import short_names
from fathom.views.similarity import METHODS, Similarity
from fathom.views.step_similarity import SimilarityOverSteps

# A report stays a few megabytes, and a page answers, whatever was found.
_PROBED, _CURVED, _CELLS = 100_000, 50_000, 250_000
_LONGEST_NAME, _LABEL = 1000, 26
_LEAST = -3.0
_DIGITS = 4

Part = dict[str, Any]
R = TypeVar("R")


def analysis_documents(analyses: Analyses, timeline: Timeline) -> Part:
    """Return what the page shows of the analyses of a run.

    Args:
        analyses: As last looked at.
        timeline: Of the same run.

    Returns:
        Values that JSON can hold:

        - `probes`: null of a run without; else `steps`, of each of them `legacy`, `model` (its
          accuracy), `samples` and `held_out`, and the packed (steps, layers) arrays `eval` and
          `train`, for the layers of the run, as `packed_shares`; `unconverged`, a list of places of
          layers for each step;
        - `live_probes`: null of a run without; else packed as those, of the eval phase at each of
          the timeline's steps;
        - `projections`: by step, a list of `name`, `step`, `phase`, `thresholds`, `baseline`,
          `all`, `random` (or null) and `layers`: `name`, `width`, `dimensions`, `accuracy` and
          `needed`, the last two null where nobody asked;
        - `similarities`: a list of `name`, `title`, `notes`, `measure`, `rows` and `columns` (each
          with `title`, `names` and short `labels`) and packed `values`, from -3 on as
          `packed_shares`; nan where an output does not vary;
        - `left_out`: files that are damaged, or too large for the page.
    """
    left_out = list(analyses.left_out)
    live = timeline.numbers("probe_accuracy", phase="eval")
    curves, many = _within(
        {f"projection/{each.name}": each for each in reversed(analyses.projections)},
        _numbers_of,
        _CURVED,
    )
    matrices, more = _within(
        {f"similarity/{name}": each for name, each in analyses.similarities.items()},
        _cells_of,
        _CELLS,
    )
    return {
        "probes": _probes(analyses.probes, timeline),
        "live_probes": packed_shares(live) if np.isfinite(live).any() else None,
        "projections": [_curve(each) for each in reversed(curves.values())],
        "similarities": [
            _similarity(name.partition("/")[2], each) for name, each in matrices.items()
        ],
        "left_out": [*left_out, *many, *more],
    }


def _probes(found: Sequence[Probes], timeline: Timeline) -> Part | None:
    places = {name: place for place, name in enumerate(timeline.layers)}
    # Of more the last.
    found = found[-max(_PROBED // max(len(places), 1), 1) :]
    if not found or not places:
        return None
    shares = np.full((2, len(found), len(places)), np.nan)
    unconverged: list[list[int]] = [[] for _ in found]
    for row, probes in enumerate(found):
        for probe in probes:
            if (place := places.get(probe.layer)) is not None:
                shares[:, row, place] = probe.eval_accuracy, probe.train_accuracy
                if not probe.converged:
                    unconverged[row].append(place)
    return {
        "steps": [exact(each.step) for each in found if each.step is not None],
        "legacy": [each.legacy for each in found],
        "model": [number(each.model_accuracy, digits=_DIGITS) for each in found],
        "samples": [max((probe.samples for probe in each), default=0) for each in found],
        "held_out": [max((probe.eval_samples for probe in each), default=0) for each in found],
        "eval": packed_shares(shares[0]),
        "train": packed_shares(shares[1]),
        "unconverged": unconverged,
    }


def _curve(curve: ProjectionCurve) -> Part:
    needed = curve.needed()
    return {
        "name": "now" if curve.step is None else f"step {curve.step}",
        "step": None if curve.step is None else exact(curve.step),
        "phase": curve.phase,
        "thresholds": curve.thresholds.tolist(),
        "baseline": number(curve.baseline, digits=_DIGITS),
        "all": plain(curve.all, digits=_DIGITS),
        "random": None if curve.random is None else plain(curve.random, digits=_DIGITS),
        "layers": [
            {
                "name": name,
                "width": curve.widths[name],
                "dimensions": dimensions.tolist(),
                "accuracy": plain(curve.by_layer[name], digits=_DIGITS)
                if name in curve.by_layer
                else None,
                "needed": needed.get(name),
            }
            for name, dimensions in curve.dimensions.items()
        ],
    }


def _similarity(name: str, found: Similarity | SimilarityOverSteps) -> Part:
    if isinstance(found, Similarity):
        values, title = found.values.copy(), found.title()
        values[[layer in found.constant_rows for layer in found.rows]] = np.nan
        values[:, [layer in found.constant_columns for layer in found.columns]] = np.nan
        titles = ("layer", "layer") if found.within else found.models
        rows, columns = _names(titles[0], found.rows), _names(titles[1], found.columns)
    else:
        values, title = found.to_last.copy(), f"{found.title()}: each step with the last"
        for layer, step in found.constant:
            if layer in found.layers and step in found.steps:
                row = found.layers.index(layer)
                values[row, found.steps.index(step)] = np.nan
                if step == found.steps[-1]:
                    values[row] = np.nan
        steps = [str(step) for step in found.steps]
        rows = _names("layer", found.layers)
        columns = {"title": "step", "names": steps, "labels": steps}
    return {
        "name": name,
        "title": title,
        "notes": found.notes(),
        "measure": METHODS[found.method],
        "rows": rows,
        "columns": columns,
        "values": packed_shares(values, below=_LEAST),
    }


def _names(title: str, names: Sequence[str]) -> Part:
    labels, _ = short_names(names, most=_LABEL)
    return {"title": title, "names": list(names), "labels": labels}


def _within(
    found: dict[str, R], size: Callable[[R], float], most: float
) -> tuple[dict[str, R], list[str]]:
    """Return what fits, and the names of the rest."""
    fits: dict[str, R] = {}
    for name, each in found.items():
        if (large := size(each)) <= most:
            fits[name] = each
            most -= large
    return fits, [name for name in found if name not in fits]


def _numbers_of(curve: ProjectionCurve) -> float:
    return _known(curve.dimensions) * len(curve.thresholds) * (len(curve.dimensions) + 2)


def _cells_of(found: Similarity | SimilarityOverSteps) -> float:
    if isinstance(found, Similarity):
        texts = (*found.rows, *found.columns, *found.models)
        return _known(texts) * found.values.size
    return _known((*found.layers, found.model)) * found.to_last.size


def _known(names: Iterable[str]) -> float:
    """Return 1, or infinity where a name is longer than any layer's is."""
    return math.inf if any(len(name) > _LONGEST_NAME for name in names) else 1.0
