"""Trainings sorted by what they have in common: problems, families of networks, pages."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fathom.experiments.models.build import architecture
from fathom.experiments.outcome import Outcome
from fathom.experiments.problems import grouped, problem_of
from fathom.experiments.task import Task
from fathom.views.names import cut

_MOST = 5


@dataclass(frozen=True, slots=True)
class Family:
    """What networks must share for one axis to hold their widths, and one their saturation.

    Attributes:
        units: Whether a width is a number of units, and not a share.
        focus: The layer that is looked at; "" where all are.
        reconstructs: Whether the pictures are given back, and no classes told.
    """

    units: bool
    focus: str
    reconstructs: bool

    @property
    def level(self) -> str:
        """What stands for the saturation of a whole network, with its unit."""
        if self.focus:
            return f"saturation of {self.focus} (share of its width)"
        return "average saturation (share of the width)"

    @property
    def dimension(self) -> str:
        """What stands for the intrinsic dimension of a whole network."""
        return f"intrinsic dimension {f'of {self.focus}' if self.focus else '(mean of the layers)'}"

    @property
    def width(self) -> str:
        """The axis of widths."""
        if not self.units:
            return "width (share of the architecture's own)"
        return f"width of {self.focus} (units)" if self.focus else "width (units)"

    @property
    def loss(self) -> str:
        """The unit of a loss."""
        return "mean squared error" if self.reconstructs else "nats a picture"

    def width_words(self, width: float) -> str:
        """Say a width in few words, as a row or a line of a legend is headed."""
        return f"{width_text(width)} units" if self.units else f"width {width_text(width)}"


@dataclass(frozen=True, slots=True)
class Page:
    """Trainings for one figure, whose columns differ in the model or else in the problem.

    Attributes:
        suffix: What tells it from others, in a file's name.
        family: Of all networks.
        columns: Their heads and trainings.
    """

    suffix: str
    family: Family
    columns: tuple[tuple[str, tuple[Outcome, ...]], ...]

    def stem(self, kind: str) -> str:
        """Return the name of the file of a figure, without its ending."""
        return f"{kind}-{self.suffix}" if self.suffix else kind

    @property
    def outcomes(self) -> list[Outcome]:
        """All trainings, by column."""
        return [each for _, column in self.columns for each in column]


def model_of(outcome: Outcome) -> str:
    """Return the name of the architecture."""
    return outcome.task.model


def by_width(outcomes: Sequence[Outcome]) -> dict[float, list[Outcome]]:
    """Return the trainings of each width, the narrowest first."""
    return dict(sorted(grouped(outcomes, lambda each: each.task.width).items()))


def families(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Family, list[Outcome]]]:
    """Sort trainings by family.

    Args:
        outcomes: The trainings.

    Yields:
        What tells it from the others in a file's name ("" of the only one), the family, and its
        trainings.
    """
    found = grouped(outcomes, lambda each: _family(each.task))
    for family, own in found.items():
        yield slug(family.focus or "network") if len(found) > 1 else "", family, own


def pages(outcomes: Sequence[Outcome]) -> Iterator[Page]:
    """Lay trainings out in columns: models, a page a problem; or problems, of a single model.

    Args:
        outcomes: The trainings.

    Yields:
        Pages of at most 5 columns.
    """
    for _, family, own in families(outcomes):
        if len(grouped(own, model_of)) > 1:
            for problem, trainings in grouped(own, problem_of).items():
                yield from paged(slug(str(problem)), family, grouped(trainings, model_of))
        else:
            problems = {
                str(problem): trainings for problem, trainings in grouped(own, problem_of).items()
            }
            yield from paged(slug(own[0].task.model), family, problems)


def paged(suffix: str, family: Family, columns: dict[str, list[Outcome]]) -> Iterator[Page]:
    """Spread columns evenly over as few pages as they need.

    Args:
        suffix: What tells these pages from others.
        family: Of all networks.
        columns: By their heads.

    Yields:
        Pages; from the second on their number is in the suffix.
    """
    heads = [(head, tuple(trainings)) for head, trainings in columns.items()]
    count = -(-len(heads) // _MOST)
    for place in range(count):
        first, last = (len(heads) * each // count for each in (place, place + 1))
        parts = [suffix] * bool(suffix) + [f"{place + 1}"] * bool(place)
        yield Page("-".join(parts), family, tuple(heads[first:last]))


def width_text(width: float) -> str:
    """Write a width as people do.

    Args:
        width: Units, or a share.

    Returns:
        The number, or the fraction that a share is.

    Example:
        >>> width_text(128.0), width_text(0.0625), width_text(0.3)
        ('128', '1/16', '0.3')
    """
    share = Fraction(width)
    return f"{share}" if share.denominator <= 64 else f"{width:g}"


def data_words(outcomes: Sequence[Outcome]) -> str:
    """Name the data sets, with the classes and the clutter that were used.

    Args:
        outcomes: The trainings.

    Returns:
        Such as `digits with 2, 4 and 10 classes`.
    """
    words = []
    for data, own in grouped(outcomes, lambda each: each.task.data).items():
        classes = {each.task.classes for each in own}
        clutter = {each.task.clutter for each in own}
        parts = [cut(data, 40)]
        if classes != {None}:
            numbers = [str(each) for each in sorted(each for each in classes if each is not None)]
            parts.append(f"with {_listed(numbers + ['all'] * (None in classes))} classes")
        if clutter != {0.0}:
            parts.append(f"with clutter {_listed([f'{each:g}' for each in sorted(clutter)])}")
        words.append(" ".join(parts))
    return "; ".join(words) if any(" " in each for each in words) else ", ".join(words)


def repetition_words(outcomes: Sequence[Outcome]) -> str:
    """Say how often each training was repeated.

    Args:
        outcomes: The trainings.

    Returns:
        Such as `5 repetitions`, or `2 to 5 repetitions` where some are still to come.
    """
    counts = {len(own) for own in grouped(outcomes, lambda each: each.task.cell).values()}
    least, most = min(counts), max(counts)
    span = f"{most}" if least == most else f"{least} to {most}"
    return f"{span} repetition{'s' if most > 1 else ''}"


def slug(text: str) -> str:
    """Make a part of a file's name.

    Args:
        text: Any.

    Returns:
        Letters, digits, dots and single dashes.

    Example:
        >>> slug("digits, clutter 0.25")
        'digits-clutter-0.25'
    """
    return re.sub(r"[^\w.]+", "-", text).strip("-.") or "other"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def _family(task: Task) -> Family:
    found = architecture(task.model)
    return Family(found.units, found.focus, found.reconstructs)
