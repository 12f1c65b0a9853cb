"""A run as a frame of pandas or polars: tidy, or with a column a statistic."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fathom.extras import require
from fathom.reading import PHASES
from fathom.settings import names_of
from fathom.spectral.table import check_statistic
from fathom.store.summary import SUMMARY
from fathom.views.export import COLUMNS, ReadingRow, numbers_by_reading
from fathom.views.run import Run

if TYPE_CHECKING:
    import pandas
    import polars


@dataclass(frozen=True, slots=True, eq=False)
class _Labels:
    """A column of a few names: their places in the list of them."""

    codes: NDArray[np.int32]
    names: Sequence[str]


_Column = NDArray[Any] | _Labels


def pandas_frame(
    run: Run, *, wide: bool, threshold: float | None, statistics: Sequence[str] | None
) -> "pandas.DataFrame":
    """Make `Run.to_pandas`.

    Args:
        run: The run.
        wide: A column a statistic.
        threshold: Fraction of the total variance; None for that of the run.
        statistics: Some of `fathom.STATISTICS`; None for all.

    Returns:
        The frame.

    Raises:
        MissingExtraError: If pandas is not installed.
    """
    package: Any = require("pandas", extra="pandas")
    columns = _columns(run, wide=wide, threshold=threshold, statistics=statistics)
    frame: pandas.DataFrame = package.DataFrame(
        {
            name: package.Categorical.from_codes(column.codes, column.names)
            if isinstance(column, _Labels)
            else column
            for name, column in columns.items()
        }
    )
    return frame


def polars_frame(
    run: Run, *, wide: bool, threshold: float | None, statistics: Sequence[str] | None
) -> "polars.DataFrame":
    """Make `Run.to_polars`.

    Args:
        run: The run.
        wide: A column a statistic.
        threshold: Fraction of the total variance; None for that of the run.
        statistics: Some of `fathom.STATISTICS`; None for all.

    Returns:
        The frame.

    Raises:
        MissingExtraError: If polars is not installed.
    """
    package: Any = require("polars", extra="polars")
    columns = _columns(run, wide=wide, threshold=threshold, statistics=statistics)
    frame: polars.DataFrame = package.DataFrame(
        {
            name: package.Series(np.array(column.names, dtype=object)[column.codes]).cast(
                package.Enum(column.names)
            )
            if isinstance(column, _Labels)
            else package.Series(column, nan_to_null=True)
            for name, column in columns.items()
        }
    )
    return frame


def _columns(
    run: Run, *, wide: bool, threshold: float | None, statistics: Sequence[str] | None
) -> dict[str, _Column]:
    if statistics is not None:
        statistics = tuple(dict.fromkeys(names_of(statistics)))
        for name in statistics:
            check_statistic(name, where="Run: statistics")
    if threshold is None and statistics is not None and set(statistics) <= _SUMMARISED:
        numbers = _summarised(run, statistics)
    else:
        numbers = _computed(run, threshold, statistics)
    columns = numbers.readings
    if not wide:
        kept = {name: _at(column, numbers.row) for name, column in columns.items()}
        return {
            **kept,
            COLUMNS[-2]: _Labels(numbers.statistic, numbers.names),
            COLUMNS[-1]: numbers.value,
        }
    for place, name in enumerate(numbers.names):
        own = numbers.statistic == place
        values = np.full(numbers.count, np.nan)
        values[numbers.row[own]] = numbers.value[own]
        columns[name] = values
    return columns


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """Every number of a run, and the readings that they are of.

    Attributes:
        readings: What identifies the readings, by the first of `COLUMNS`.
        count: How many readings.
        row: (numbers,) the place of its reading.
        statistic: (numbers,) places in `names`.
        value: (numbers,).
        names: Of statistics.
    """

    readings: dict[str, _Column]
    count: int
    row: NDArray[np.int64]
    statistic: NDArray[np.int32]
    value: NDArray[np.float64]
    names: list[str]


def _computed(run: Run, threshold: float | None, statistics: Sequence[str] | None) -> _Numbers:
    """Go through all spectra."""
    heads: list[ReadingRow] = []
    counts, codes, values = array("q"), array("i"), array("d")
    places = {name: place for place, name in enumerate(statistics or ())}
    for snapshot in run.snapshots(threshold=threshold):
        for head, numbers in numbers_by_reading(snapshot, statistics=statistics):
            heads.append(head)
            counts.append(len(numbers))
            codes.extend(places.setdefault(name, len(places)) for name in numbers)
            values.extend(float(value) for value in numbers.values())
    step, phase, layer, kind, *rest = [list(column) for column in zip(*heads, strict=True)] or [
        [] for _ in COLUMNS[:-2]
    ]
    readings: dict[str, _Column] = {
        "step": np.array(step, dtype=np.int64),
        "phase": _labels(phase, PHASES),
        "layer": _labels(layer, run.layers),
        "kind": _labels(kind, ()),
        **{
            name: np.array(column, dtype=np.int64)
            for name, column in zip(COLUMNS[4:-2], rest, strict=True)
        },
    }
    return _Numbers(
        readings,
        count=len(heads),
        row=np.repeat(np.arange(len(heads)), np.array(counts, dtype=np.int64)),
        statistic=np.array(codes, dtype=np.int32),
        value=np.array(values, dtype=np.float64),
        names=list(places),
    )


_SUMMARISED = frozenset({"saturation", "intrinsic_dimension"})


def _summarised(run: Run, statistics: Sequence[str]) -> _Numbers:
    """Read the numbers that the run holds beside its spectra, hundreds of times faster."""
    timeline = run.timeline(most=len(run.steps) + 1)
    facts, moments = timeline.facts, timeline.moments
    empty = np.empty(0, dtype=SUMMARY)
    found = np.concatenate([empty, *(moment.numbers for moment in moments)])
    steps = np.repeat(timeline.steps, [len(moment.numbers) for moment in moments])
    order = np.lexsort((found["layer"], found["phase"], steps))
    # A layer that came to the run since its facts were read is of the next frame.
    order = order[found["layer"][order] < len(facts)]
    found, steps = found[order], steps[order]
    layer = found["layer"].astype(np.int32)
    kinds = _labels([each.kind for each in facts], ())
    dimension = found["dimension"].astype(np.float64)
    numbers = {"saturation": dimension / found["width"], "intrinsic_dimension": dimension}
    readings: dict[str, _Column] = {
        "step": steps.astype(np.int64),
        "phase": _Labels(found["phase"].astype(np.int32), PHASES),
        "layer": _Labels(layer, timeline.layers),
        "kind": _at(kinds, layer),
        **{name: found[name].astype(np.int64) for name in COLUMNS[4:-2]},
    }
    return _Numbers(
        readings,
        count=len(found),
        row=np.repeat(np.arange(len(found)), len(statistics)),
        statistic=np.tile(np.arange(len(statistics), dtype=np.int32), len(found)),
        value=np.array([numbers[name] for name in statistics], dtype=np.float64).T.reshape(-1),
        names=list(statistics),
    )


def _labels(column: Sequence[str], known: Sequence[str]) -> _Labels:
    """Return a column as places in the known names, and those that it adds."""
    names = list(dict.fromkeys([*known, *column]))
    codes = {name: code for code, name in enumerate(names)}
    return _Labels(np.array([codes[name] for name in column], dtype=np.int32), names)


def _at(column: _Column, rows: NDArray[Any]) -> _Column:
    if isinstance(column, _Labels):
        return _Labels(column.codes[rows], column.names)
    picked: NDArray[Any] = column[rows]
    return picked
