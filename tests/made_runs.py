"""Runs with made-up readings: as many layers, steps and oddities as a view has to bear."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from fathom.reading import LayerFacts, Phase, Reading, Readings
from fathom.settings import Settings
from fathom.snapshot import Snapshot
from fathom.spectral.remainder import Remainder
from fathom.spectral.spectrum import Spectrum, rounded
from fathom.store.writer import Writer


def made_reading(
    name: str,
    *,
    dimension: int,
    width: int = 20,
    rows: int = 1000,
    phase: Phase = "eval",
    kind: str = "linear",
    rounding: float = 0.0,
) -> Reading:
    """A layer of which `dimension` directions carry all variance, evenly."""
    eigenvalues = torch.zeros(width, dtype=torch.float64)
    eigenvalues[:dimension] = 2
    return Reading(
        layer=LayerFacts(name, kind, "Linear", width),
        phase=phase,
        spectrum=Spectrum(eigenvalues, rows, {"idle_features": 0.0}, rounding),
        samples=rows,
        calls=3,
        dropped=0,
        threshold=0.99,
    )


def sketched_reading(name: str, *, width: int = 8192, phase: Phase = "eval") -> Reading:
    """A layer too wide for its covariance, whose sketch does not tell the dimension."""
    eigenvalues = rounded(torch.linspace(2, 1, 512, dtype=torch.float64))
    remainder = Remainder(width, total=2.0 * float(eigenvalues.sum()), norm=20.0)
    return Reading(
        layer=LayerFacts(name, "linear", "Linear", width),
        phase=phase,
        spectrum=Spectrum(eigenvalues, 10**6, {"idle_features": 0.0}, 0.0, remainder),
        samples=1000,
        calls=3,
        dropped=0,
        threshold=0.99,
    )


def made_run(
    folder: Path,
    steps: Iterable[int],
    readings: Callable[[int], Sequence[Reading]],
    *,
    metrics: Callable[[int], Mapping[str, float]] = lambda step: {},
    output_layer: str | None = None,
    unobserved: Sequence[str] = (),
) -> Path:
    """Record, at every step, the readings that a function of the step gives."""
    layers: dict[str, LayerFacts] = {}
    writer = Writer.open(folder, facts={"model": "made.Up"}, settings=Settings(), layers=[])
    for step in steps:
        found: dict[str, dict[str, Reading]] = {"train": {}, "eval": {}}
        for each in readings(step):
            found[each.phase][each.layer.name] = each
            layers[each.layer.name] = each.layer
        snapshot = Snapshot(
            step=step,
            metrics=metrics(step),
            train=Readings(found["train"]),
            eval=Readings(found["eval"]),
            unobserved=tuple(unobserved),
            output_layer=output_layer,
            reasons=dict.fromkeys(unobserved, "not called"),
        )
        writer.append(snapshot, layers=list(layers.values()))
    writer.close()
    return folder
