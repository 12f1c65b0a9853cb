"""The projection curves that lie with a run."""

from pathlib import Path

from fathom.projections import KIND, ProjectionCurve
from fathom.views.kept import kept


def curves_of(folder: Path) -> list[ProjectionCurve]:
    """Read the curves of a run.

    Args:
        folder: The run's folder.

    Returns:
        By step, those of none first; damaged ones are left out, with a warning.
    """
    found = kept(folder, KIND, ProjectionCurve.from_body).values()
    return sorted(found, key=lambda each: (each.step is not None, each.step or 0))
