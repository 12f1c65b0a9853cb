"""Runs with everything that analyses find beside them, made up in no time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fathom import probes, projections
from fathom.probes import Probe, Probes
from fathom.projections import ProjectionCurve
from fathom.reading import Phase, ProbeScore, Reading
from fathom.store.analyses import write_analysis
from fathom.views import similarity, step_similarity
from fathom.views.similarity import Similarity
from fathom.views.step_similarity import SimilarityOverSteps
from made_runs import made_reading, made_run

WIDTH = 20


def analysed(folder: Path, *, layers: int = 6, hidden: str = "block") -> Path:
    """A run of three steps with live probes, probes of two steps, curves, and similarities."""
    names = unanalysed(folder, layers=layers, hidden=hidden)
    for step in (0, 10):
        add_probes(folder, names, step=step)
    for at in (10, None):
        add_curve(folder, names, step=at)
    add_similarity(folder, names)
    over = SimilarityOverSteps(
        "svcca", "made.Up", tuple(names), (0, 10, 20), np.full((layers, 3, 3), 0.75), 50
    )
    write_analysis(folder, step_similarity.KIND, "growth", over.to_body())
    return folder


def unanalysed(
    folder: Path, *, layers: int = 6, hidden: str = "block", live: bool = True
) -> list[str]:
    """The same run without what analyses find, and the names of its layers."""
    names = [f"{hidden}.{place}" for place in range(layers - 1)] + ["head"]

    def reading(name: str, phase: Phase, step: int) -> Reading:
        place = names.index(name)
        dimension = max(1, round(WIDTH * 0.8 * math.exp(-4 * place / layers)))
        made = made_reading(name, dimension=dimension, width=WIDTH, phase=phase)
        scored = live and phase == "eval" and name != names[0]
        score = ProbeScore(accuracy(place, layers, step) - 0.05, 500) if scored else ProbeScore()
        return replace(made, probe=score)

    made_run(
        folder,
        (0, 10, 20),
        lambda step: [reading(name, phase, step) for phase in ("train", "eval") for name in names],
        output_layer="head",
    )
    return names


def accuracy(place: int, layers: int, step: int) -> float:
    """Of a layer's probe: rises over the first half of the layers, then no more."""
    return min(0.5 + 0.01 * step, 0.9) * min(1.0, 0.4 + 1.2 * (place + 1) / layers)


def add_probes(folder: Path, names: Sequence[str], *, step: int) -> Probes:
    """Store the probes of a step."""
    values = [accuracy(place, len(names), step) for place in range(len(names))]
    found = Probes(
        tuple(
            Probe(name, min(value + 0.1, 1.0), value, 900, 400, 16, name != names[0])
            for name, value in zip(names, values, strict=True)
        ),
        model_accuracy=max(values),
        step=step,
    )
    write_analysis(folder, probes.KIND, found.name, found.to_body())
    return found


def add_curve(
    folder: Path, names: Sequence[str], *, step: int | None, random: bool = True
) -> ProjectionCurve:
    """Store a curve."""
    thresholds = np.array([0.3, 0.6, 0.9, 0.99, 1.0])
    rising = 0.9 * thresholds
    by_layer: Mapping[str, np.ndarray] = {
        name: np.minimum(0.9, rising + 0.05 * place % 0.5) for place, name in enumerate(names)
    }
    found = ProjectionCurve(
        thresholds=thresholds,
        all=rising,
        by_layer=by_layer,
        dimensions={name: np.array([2, 5, 9, 15, 20]) for name in names},
        widths=dict.fromkeys(names, WIDTH),
        baseline=0.9,
        random=rising / 2 if random else None,
        phase="eval",
        step=step,
    )
    write_analysis(folder, projections.KIND, found.name, found.to_body())
    return found


def add_similarity(folder: Path, names: Sequence[str], *, name: str = "layers") -> Similarity:
    """Store the likeness of layers to each other; one of them does not vary."""
    places = np.arange(len(names))
    values = np.exp(-3 * np.abs(places[:, None] - places) / len(names)) - 0.1
    values[1] = values[:, 1] = 0.0
    found = Similarity(
        "cka", ("made.Up", "made.Up"), True, tuple(names), tuple(names), values, 50,
        constant_rows=(names[1],), constant_columns=(names[1],),
    )  # fmt: skip
    write_analysis(folder, similarity.KIND, name, found.to_body())
    return found
