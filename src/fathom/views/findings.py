"""What a reader should know of one step, in words: which layers are low, high, in a tail."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fathom.probes import Probes
from fathom.reading import AVERAGED_KINDS
from fathom.snapshot import by_reason
from fathom.spectral.spectrum import PROVISIONAL_BELOW
from fathom.store.summary import STATUSES
from fathom.store.timeline import Timeline

# Of the average, past which the papers find accuracy to fall with it (Shenk et al. 2019, 3.4).
HIGH_AVERAGE = 0.45
# Of a layer: below the range of 0.2 to 0.4 that Delve's maintainers advise, and as far from 1.
LOW, HIGH = 0.2, 0.8
# A tail is at least so many layers at the end, all below this share of the highest saturation.
TAIL_LENGTH, TAIL_SHARE = 2, 0.5

_PROVISIONAL, _COARSE = STATUSES.index("provisional"), STATUSES.index("coarse")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know.

    Attributes:
        kind: `average`, `tail`, `probes`, `low`, `high`, `provisional`, `coarse`, `unknown`,
            `unobserved` or `disabled`.
        text: A sentence or two.
        layers: That it is about.
    """

    kind: str
    text: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """The last step in one phase: arrays over the observed layers, in execution order."""

    names: NDArray[np.str_]
    counts: NDArray[np.bool_]
    is_output: NDArray[np.bool_]
    saturation: NDArray[np.float64]
    status: NDArray[np.float64]
    average: float

    def among(self, chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(str(name) or "(model)" for name in self.names[chosen])

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Layers but the output layer that were read well enough."""
        trusted = ~np.isin(self.status, (_PROVISIONAL, _COARSE)) & np.isfinite(self.saturation)
        return trusted & ~self.is_output


def findings(timeline: Timeline, *, phase: str, probes: Sequence[Probes] = ()) -> list[Finding]:
    """Say what there is to know of the last step.

    Args:
        timeline: Of a run.
        phase: `train` or `eval`.
        probes: Of the run; those of the last step are judged.

    Returns:
        What is of most weight first. Layers that are read too little are named, and not judged.
    """
    last = timeline.last
    if last is None:
        return [Finding("unobserved", "Nothing is recorded yet.")]
    saturation = timeline.numbers("saturation", phase=phase)[-1]
    status = timeline.numbers("status", phase=phase)[-1]
    seen = np.isfinite(status)
    facts = [each for each, is_seen in zip(timeline.facts, seen, strict=True) if is_seen]
    step = _Step(
        names=np.array([each.name for each in facts], dtype=np.str_),
        counts=np.array(
            [each.kind in AVERAGED_KINDS and each.name != last.output_layer for each in facts],
            dtype=np.bool_,
        ),
        is_output=np.array([each.name == last.output_layer for each in facts], dtype=np.bool_),
        saturation=saturation[seen],
        status=status[seen],
        average=float(timeline.averages(phase=phase)[-1]),
    )
    found: list[Finding] = []
    if not facts:
        found.append(Finding("unobserved", f"No layer was observed in the {phase} phase."))
    for say in (_average, _tail, _low, _high, _provisional, _coarse, _unknown):
        if facts and (finding := say(step)):
            found.append(finding)
    of_last = next((each for each in probes if each.step == last.step), None)
    if of_last is not None and (finding := _idle(step, of_last)):
        found.append(finding)
    reasons = {name: last.reasons.get(name, "") for name in last.unobserved}
    for reason, names in by_reason(reasons):
        text = f"Not observed{f', as: {reason}' if reason else ''}: {names}."
        found.append(Finding("unobserved", text, tuple(n for n in reasons if reasons[n] == reason)))
    for reason, names in by_reason(last.disabled):
        layers = tuple(name for name, why in last.disabled.items() if why == reason)
        found.append(Finding("disabled", f"Switched off: {names}. {reason}", layers))
    return found


def _average(step: _Step) -> Finding | None:
    if not math.isfinite(step.average):
        return None
    known = step.counts & np.isfinite(step.saturation)
    judged = known & step.judged
    if 2 * judged.sum() <= known.sum():
        meaning = "Most of these layers were read too little, or too coarsely, for more to be said."
    elif step.average > HIGH_AVERAGE:
        meaning = (
            f"That is high: past {HIGH_AVERAGE:.0%} accuracy tends to fall as it rises. Wider "
            "layers bring it down."
        )
    elif step.average < LOW:
        meaning = "That is low: the network has far more width than its data uses."
    else:
        meaning = "Most of the width has something to do."
    left_out = len(known) - int(known.sum())
    which = (
        f"a layer's width ({known.sum()} of {len(known)} layers count)"
        if left_out
        else ("a layer's width")
    )
    text = f"On average the data uses {step.average:.0%} of {which}. {meaning}"
    return Finding("average", text, step.among(known))


def _tail(step: _Step) -> Finding | None:
    among = np.flatnonzero(~step.is_output)
    values, judged = step.saturation[among], step.judged[among]
    highest = values[judged].max(initial=0.0)
    if highest < LOW:
        return None
    # A layer that cannot be judged may be a high one, and ends a tail as they do.
    breaks = np.flatnonzero(~judged | (values >= TAIL_SHARE * highest))
    tail = among[breaks[-1] + 1 :]
    if len(tail) < TAIL_LENGTH:
        return None
    names = tuple(str(name) for name in step.names[tail])
    text = (
        f"The last {len(tail)} layers are a tail of low saturation, from {names[0]} on: each below "
        f"half of the highest, {highest:.0%}. The network may be too deep or too wide for the "
        "data, or its receptive field larger than the input."
    )
    return Finding("tail", text, names)


def _idle(step: _Step, probes: Probes) -> Finding | None:
    """Find from where on no layer makes the classes easier to tell apart, and all are low."""
    probed = [each for each in probes if math.isfinite(each.eval_accuracy)]
    if not probed:
        return None
    accuracy = np.array([each.eval_accuracy for each in probed])
    samples = np.array([max(each.eval_samples, 1) for each in probed])
    best = np.maximum.accumulate(accuracy[::-1])[::-1]
    error = np.sqrt(accuracy * (1 - accuracy) / samples)
    # Of the last one it holds in any case.
    first = int(np.argmax(best - accuracy <= error))
    saturation = dict(zip(step.names[step.judged], step.saturation[step.judged], strict=True))
    outputs = set(step.names[step.is_output])
    after = [each for each in probed[first + 1 :] if each.layer not in outputs]
    values = [saturation.get(each.layer, math.nan) for each in after]
    bound = max(LOW, TAIL_SHARE * max(saturation.values(), default=0.0))
    says = (
        len(after) >= TAIL_LENGTH
        and all(value < bound for value in values)
        and all(each.converged for each in probed[first:])
        and not probes.model_accuracy > accuracy[first] + error[first]
    )
    if not says:
        return None
    text = (
        f"From {probed[first].layer or '(model)'} on the probes' eval accuracy no longer rises "
        f"({accuracy[first]:.1%}, at most {best[first]:.1%} after it; standard error "
        f"{error[first]:.1%} of {samples[first]:,} samples), and the {len(after)} layers after it "
        f"are low, at most {max(values):.0%}: they add nothing that a linear classifier could use."
    )
    return Finding("probes", text, tuple(each.layer or "(model)" for each in after))


def _about(
    kind: str, mask: Callable[[_Step], NDArray[np.bool_]], text: str
) -> Callable[[_Step], Finding | None]:
    def say(step: _Step) -> Finding | None:
        names = step.among(mask(step))
        if not names:
            return None
        return Finding(kind, f"{_counted(names)} {text}: {listed(names)}.", names)

    return say


_low = _about("low", lambda step: step.judged & (step.saturation < LOW), f"below {LOW:.0%}")
_high = _about("high", lambda step: step.judged & (step.saturation > HIGH), f"above {HIGH:.0%}")
_provisional = _about(
    "provisional",
    lambda step: step.status == _PROVISIONAL,
    f"provisional, with fewer than {PROVISIONAL_BELOW} rows per width, so that the dimension is "
    "too low: not judged here",
)
_coarse = _about(
    "coarse",
    lambda step: step.status == _COARSE,
    "coarse: the type of the activations is too coarse for their mean, so that the dimension is "
    "too high",
)
_unknown = _about(
    "unknown",
    lambda step: ~np.isfinite(step.saturation),
    "without a known dimension, too wide for more than a lower bound or without rows",
)


def _counted(names: Sequence[str]) -> str:
    return "One layer is" if len(names) == 1 else f"{len(names)} layers are"


def listed(names: Sequence[str], *, most: int = 8) -> str:
    """Write names as one text, of many only the first."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
