"""What the numbers of a snapshot are called, the same in every sink and trainer."""

import math
from collections.abc import Sequence

from fathom.reading import PHASES
from fathom.snapshot import Snapshot
from fathom.spectral.table import check_statistic

STATISTICS = ("saturation", "intrinsic_dimension")
"""What a dashboard gets of each layer unasked."""

OWN_STEP = "fathom/step"
"""The snapshot's step, where the dashboard counts steps of its own."""


def numbers_of(
    snapshot: Snapshot, *, statistics: Sequence[str] = STATISTICS, metrics: bool = False
) -> dict[str, float]:
    """Return the numbers of a snapshot by name.

    Args:
        snapshot: What was measured.
        statistics: Of each layer, some of `fathom.STATISTICS`.
        metrics: The user's own numbers too.

    Returns:
        `fathom/eval/saturation/features.3` for a layer, with `probe_accuracy` where a live probe
        was scored, `fathom/eval/average_saturation` for a phase and `fathom/metrics/loss` for a
        metric. What is not known, nan or infinite, is left out: a dashboard would draw it as a
        number.
    """
    found: dict[str, float] = {}
    for phase in PHASES:
        found[f"fathom/{phase}/average_saturation"] = snapshot.average_saturation(phase)
        for name, reading in snapshot.phase(phase).items():
            values = reading.statistics
            for statistic in statistics:
                key = f"fathom/{phase}/{statistic}/{name or '(model)'}"
                found[key] = float(values.get(statistic, math.nan))
            found[f"fathom/{phase}/probe_accuracy/{name or '(model)'}"] = reading.probe_accuracy
    if metrics:
        found |= {f"fathom/metrics/{name}": value for name, value in snapshot.metrics.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def checked(statistics: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Refuse what is no statistic.

    Args:
        statistics: What the user passed; one name alone is a list of one.
        where: The sink, for the message.

    Returns:
        The names.

    Raises:
        ArgumentError: If one is not of `fathom.STATISTICS`.
    """
    names = (statistics,) if isinstance(statistics, str) else tuple(statistics)
    for name in names:
        check_statistic(name, where=f"{where}: statistics")
    return names
