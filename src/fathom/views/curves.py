"""The projection curves that lie with a run."""

from pathlib import Path

from fathom.errors import DamagedRecordError, warn
from fathom.projections import KIND, ProjectionCurve
from fathom.store.analyses import read_analyses


def curves_of(folder: Path) -> list[ProjectionCurve]:
    """Read the curves of a run.

    Args:
        folder: The run's folder.

    Returns:
        By step, those of none last; damaged ones are left out, with a warning.
    """
    found, damaged = read_analyses(folder, KIND)
    curves = []
    for name, body in found.items():
        try:
            curves.append(ProjectionCurve.from_body(body))
        except DamagedRecordError:
            damaged.append(name)
    for name in damaged:
        warn(
            f"fathom: {KIND} {name} of {folder} is damaged and left out. Measure it once more, or "
            "remove its file."
        )
    return sorted(curves, key=lambda each: (each.step is None, each.step or 0))
