"""The main numbers of a run at every step, kept up with a run that is being written."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.errors import choose
from fathom.reading import AVERAGED_KINDS, PHASES, LayerFacts
from fathom.store.stored import StoredRun
from fathom.store.summary import SUMMARY, Summary, summary_of

_AT_ONCE = 500


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One step: what a snapshot says of it, but for the spectra.

    Attributes:
        step: The step.
        time: When it was recorded, in seconds since 1970; nan where that record is damaged.
        metrics: The user's numbers.
        output_layer: As of `Snapshot`.
        unobserved: As of `Snapshot`.
        reasons: As of `Snapshot`.
        disabled: As of `Snapshot`.
        numbers: (readings,) of `SUMMARY`.
    """

    step: int
    time: float
    metrics: Mapping[str, float]
    output_layer: str | None
    unobserved: Sequence[str]
    reasons: Mapping[str, str]
    disabled: Mapping[str, str]
    numbers: Summary


class Timeline:
    """The main numbers of every step; `refresh` takes in what was recorded since."""

    def __init__(self, run: StoredRun, *, most: int = 2000):
        """Read a run.

        Args:
            run: An open run.
            most: Of more steps every second, or fourth and so on, is held, and the last.
        """
        self.run = run
        self._most = most
        self._seals: dict[int, object] = {}
        self._moments: dict[int, Moment] = {}
        self._version: object = None
        self._columns: dict[int, tuple[NDArray[np.intp], Summary]] = {}
        self.facts: list[LayerFacts] = []
        """What is known of each observed layer, in execution order."""
        self.recorded = 0
        """How many steps there are in the run, of which `steps` may be a part."""
        self.refresh()

    @property
    def steps(self) -> list[int]:
        """The steps that are held, ascending."""
        return list(self._moments)

    @property
    def moments(self) -> list[Moment]:
        """What is held of each of `steps`."""
        return list(self._moments.values())

    @property
    def last(self) -> Moment | None:
        """The last step; None of an empty run."""
        return next(reversed(self._moments.values()), None)

    @property
    def layers(self) -> list[str]:
        """The names of the observed layers, in execution order."""
        return [facts.name for facts in self.facts]

    @property
    def times(self) -> NDArray[np.float64]:
        """(steps,) when each was recorded, in seconds since 1970."""
        return np.array([moment.time for moment in self.moments], dtype=np.float64)

    @property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """The user's metrics by name, each (steps,); nan where a step did not give one."""
        names = dict.fromkeys(name for moment in self.moments for name in moment.metrics)
        return {
            name: np.array([moment.metrics.get(name, np.nan) for moment in self.moments])
            for name in names
        }

    def refresh(self) -> bool:
        """Read the steps that are new or were recorded anew, and forget those that are gone.

        Returns:
            Whether anything has changed.

        Raises:
            RunError: If the file itself is damaged, or gone.
        """
        version = self.run.database.version()
        if version == self._version:
            return False
        seals = self.run.database.seals()
        steps = _spread(sorted(seals), self._most)
        kept = {step for step in steps if self._seals.get(step, self) == seals[step]}
        facts = list(self.run.layer_facts.values())
        fresh = {each.step: each for each in self._read([s for s in steps if s not in kept], facts)}
        # Steps may go between one query and the next, when a training resumes from an earlier one.
        steps = [step for step in steps if step in kept or step in fresh]
        changed = bool(fresh) or len(kept) < len(self._moments) or self.recorded != len(seals)
        self._moments = {s: fresh[s] if s in fresh else self._moments[s] for s in steps}
        self._seals = {step: seals[step] for step in steps}
        self.facts, self.recorded, self._version = facts, len(seals), version
        self._columns = {}
        return changed

    def drop_columns(self) -> None:
        """Forget what was put together to answer, until the next question."""
        self._columns = {}

    def numbers(self, name: str, *, phase: str) -> NDArray[np.float64]:
        """Return one number of every reading.

        Args:
            name: `saturation`, or of `SUMMARY` one of `status`, `width`, `dimension`, `at_least`,
                `rows`, `samples` and `probe_accuracy`.
            phase: `train` or `eval`.

        Returns:
            (steps, layers), in the order of `steps` and `layers`; nan where there is no reading, or
            where it does not tell. A status is its place in `STATUSES`.

        Raises:
            ArgumentError: If there is no such phase or number.
        """
        choose(phase, PHASES, where="Timeline.numbers: phase")
        place = PHASES.index("train" if phase == "train" else "eval")
        fields = ("saturation", *list(SUMMARY.fields or ())[2:])
        choose(name, fields, where="Timeline.numbers: name")
        values = np.full((len(self._moments), len(self.facts)), np.nan)
        rows, found = self._of_phase(place)
        values[rows, found["layer"]] = _field(found, name)
        return values

    def averages(self, *, phase: str) -> NDArray[np.float64]:
        """Return the average saturation of every step, as `Snapshot.average_saturation` has it.

        Args:
            phase: `train` or `eval`.

        Returns:
            (steps,), in [0, 1]; nan where there is none.
        """
        saturation = self.numbers("saturation", phase=phase)
        counts: dict[str | None, list[bool]] = {}
        for moment in self.moments:
            if moment.output_layer not in counts:
                counts[moment.output_layer] = [
                    each.kind in AVERAGED_KINDS and each.name != moment.output_layer
                    for each in self.facts
                ]
        return np.array(
            [
                _mean(row[counts[moment.output_layer]])
                for row, moment in zip(saturation, self.moments, strict=True)
            ],
            dtype=np.float64,
        )

    def _of_phase(self, place: int) -> tuple[NDArray[np.intp], Summary]:
        """Return all readings of a phase and the row of each: put together once a refresh."""
        if not self._columns:
            every = [moment.numbers for moment in self.moments]
            # By way of bytes: numpy compares the fields of all arrays before it joins them.
            found = np.frombuffer(b"".join(each.tobytes() for each in every), SUMMARY)
            rows = np.repeat(np.arange(len(every)), [len(each) for each in every])
            known = found["layer"] < len(self.facts)
            for phase in range(len(PHASES)):
                chosen = known & (found["phase"] == phase)
                self._columns[phase] = rows[chosen], found[chosen]
        return self._columns[place]

    def _read(self, steps: Sequence[int], facts: Sequence[LayerFacts]) -> Iterator[Moment]:
        positions = {each.name: position for position, each in enumerate(facts)}
        for start in range(0, len(steps), _AT_ONCE):
            some = steps[start : start + _AT_ONCE]
            summaries = self.run.database.summaries(some)
            for step, body in self.run.database.snapshots(some).items():
                numbers = summaries.get(step)
                if numbers is None:
                    snapshot = self.run.snapshot(step)
                    readings = [*snapshot.train.values(), *snapshot.eval.values()]
                    numbers = summary_of(readings, positions)
                yield _moment(step, body, numbers)


def _moment(step: int, body: Mapping[str, Any], numbers: Summary) -> Moment:
    return Moment(
        step=step,
        time=body.get("time", math.nan),
        metrics=body.get("metrics", {}),
        output_layer=body.get("output_layer"),
        unobserved=body.get("unobserved", ()),
        reasons=body.get("reasons", {}),
        disabled=body.get("disabled", {}),
        numbers=numbers,
    )


def _field(found: Summary, name: str) -> NDArray[np.float64]:
    if name == "saturation":
        return np.asarray(found["dimension"] / found["width"].astype(np.float64))
    return np.asarray(found[name], dtype=np.float64)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return fmean(known) if len(known) else math.nan


def _spread(steps: list[int], most: int) -> list[int]:
    """Return at most about so many steps, evenly, and the last; the same ones as a run grows."""
    stride = 1
    while len(steps) > most * stride:
        stride *= 2
    return steps if stride == 1 else [*steps[:-1:stride], steps[-1]]
