"""The figures of an experiment: which there are, and their files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.experiments.outcome import Outcome
from fathom.extras import require
from fathom.views.files import replaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150


def figures(outcomes: Sequence[Outcome], *, title: str = "") -> "dict[str, Callable[[], Figure]]":
    """Say which figures can be drawn of trainings.

    What the trainings hold decides it, and not which experiment they are of: an axis with two
    values, two epochs, layers enough for a pattern, accuracies, probes.

    Args:
        outcomes: What came of the trainings, of one experiment; there may be none.
        title: Of the experiment, which every figure repeats; "" for none.

    Returns:
        For the stem of each figure's file what draws it, on call.

    Raises:
        MissingExtraError: If matplotlib or scipy is not installed.
    """
    for package in ("matplotlib", "scipy"):
        require(package, extra="experiments")
    from fathom.experiments.figures import (
        emergence,
        evolution,
        layers,
        probes,
        problem,
        scatter,
        training,
        width,
    )

    found: dict[str, Callable[[], Figure]] = {}
    for kind in (width, training, scatter, layers, evolution, problem, emergence, probes):
        for stem, drawn in kind.drawings(outcomes, title=title):
            # Names of data sets may differ in signs alone that no file's name has.
            same = sum(each == stem or each.startswith(f"{stem}--") for each in found)
            found[f"{stem}--{same + 1}" if same else stem] = drawn
    return found


def draw(outcomes: Sequence[Outcome], folder: Path, *, title: str = "") -> list[Path]:
    """Draw all figures of trainings.

    Args:
        outcomes: What came of the trainings; there may be none.
        folder: Where the files go; it is made. A file of the same name is replaced, others stay.
        title: Of the experiment, which every figure repeats; "" for none.

    Returns:
        PNG files, each of which was written whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for stem, drawn in figures(outcomes, title=title).items():
        path = folder / f"{stem}.png"
        with replaced(path) as unfinished:
            drawn().savefig(unfinished, format="png", dpi=_DPI)
        written.append(path)
    return written
