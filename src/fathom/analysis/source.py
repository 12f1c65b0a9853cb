"""Where eigendirections come from: a run, a monitor, or moments; and the layers that have them."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from torch import nn

from fathom.capture.capture import Capture
from fathom.capture.hooks import Hook, LayerHook
from fathom.capture.layers import Layer, all_modules, watchable
from fathom.capture.modules import unwrapped
from fathom.capture.report import Reports
from fathom.capture.rows import main_output
from fathom.capture.selection import LayerFilter, select_layers
from fathom.errors import (
    ArgumentError,
    LayerSelectionError,
    RunNotFoundError,
    ShapeError,
    choose,
    near,
)
from fathom.monitor import Monitor
from fathom.reading import PHASES
from fathom.settings import Settings
from fathom.spectral.directions import Directions
from fathom.spectral.moments import Moments
from fathom.store.stored import StoredRun
from fathom.underway import wait_for_snapshots

Given: TypeAlias = StoredRun | Monitor | Mapping[str, Moments] | str | os.PathLike[str]
"""A run with covariances or its folder, a monitor with rows in its window, or moments by layer."""

Decompose = Callable[[Sequence[str]], Mapping[str, Directions]]


@dataclass(frozen=True, slots=True)
class Source:
    """The layers of which eigendirections can be had, and how.

    Attributes:
        settings: How their rows were taken.
        widths: By layer.
        decompose: From layers to their directions.
        sketched: Layers without eigendirections, as they are too wide.
        phase: Of their rows; None where it is not known.
        step: Of a run; None of what is measured now.
        picked: Layers whose rows are of what `watch(outputs=...)` picked from their output.
    """

    settings: Settings
    widths: Mapping[str, int]
    decompose: Decompose
    sketched: tuple[str, ...] = ()
    phase: str | None = None
    step: int | None = None
    picked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Directed:
    """The chosen layers of a model, each with its directions.

    Attributes:
        layers: In execution order, as far as it is known.
        directions: By layer.
        source: Where they come from.
    """

    layers: tuple[Layer, ...]
    directions: Mapping[str, Directions]
    source: Source = field(repr=False)


def directed(
    model: nn.Module,
    given: Given | None,
    layers: LayerFilter | None,
    *,
    phase: str | None,
    step: int | None,
    where: str,
) -> Directed:
    """Find the layers of a model and their eigendirections.

    Args:
        model: The root, wrapped or not.
        given: The source; None for the monitor that is attached to the model.
        layers: As of `fathom.watch`; None for all of the source.
        phase: `train` or `eval`; None for eval, or train where that alone was observed.
        step: Of a run; None for the last.
        where: The function, for messages.

    Returns:
        At least one layer, decomposed.

    Raises:
        ArgumentError: If the source is none, or has no rows.
        LayerSelectionError: If the layers are not in both the model and the source, or sketched.
        ShapeError: If a layer has another width.
        RunNotFoundError: If the run has no covariances.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"{where}: model must be a torch.nn.Module, got {type(model).__name__}. "
            "Pass the module itself."
        )
    if phase is not None:
        choose(phase, PHASES, where=f"{where}: phase")
    opened = nullcontext(given)
    if isinstance(given, str | os.PathLike):
        opened = closing(StoredRun(Path(given)))  # type: ignore[assignment]
    with opened as source:
        found = _source(source, model, phase, step, where)
        chosen = _chosen(model, found, layers, where)
        return Directed(tuple(chosen), found.decompose([each.facts.name for each in chosen]), found)


def _source(
    given: object, model: nn.Module, phase: str | None, step: int | None, where: str
) -> Source:
    if isinstance(given, StoredRun):
        return _of_run(given, phase, step, where)
    if step is not None:
        raise ArgumentError(
            f"{where}: step must come with a run, got {step!r} with "
            f"{type(given).__name__}. Pass the run's folder, or leave step out."
        )
    if given is None:
        given = _attached(model, where)
    if isinstance(given, Monitor | Capture):
        return _of_window(given, phase, where)
    if isinstance(given, Mapping):
        return _of_moments(given, phase, where)
    raise ArgumentError(
        f"{where}: source must be a run, its folder, a monitor, or a dict of layers and "
        f"Moments, got {type(given).__name__}. Pass fathom.open_run(folder)."
    )


def _of_run(run: StoredRun, phase: str | None, step: int | None, where: str) -> Source:
    wait_for_snapshots(run.path)
    snapshot = run.snapshot(step)
    of_phase = phase or snapshot.usual_phase
    readings = snapshot.phase(of_phase)
    plain = {name: each for name, each in readings.items() if not each.sketched and each.rows}
    recorded = run.facts.get("settings", {})
    names = [name for name in ("conv", "timesteps", "downsample") if name in recorded]

    def decompose(layers: Sequence[str]) -> dict[str, Directions]:
        try:
            kept = run.covariances(layers, step=snapshot.step, phase=of_phase)
        except RunNotFoundError as error:
            raise RunNotFoundError(
                f'{where}: run must have been watched with keep="covariance", got {run.path}, '
                f"which has no covariances of {', '.join(layers[:3])} at step {snapshot.step} in "
                f'{of_phase}. Watch with keep="covariance", or pass a monitor. {error}'
            ) from error
        return {
            name: Directions.of_covariance(*each, eigenvalues=plain[name].eigenvalues)
            for name, each in kept.items()
        }

    if not plain:
        raise ArgumentError(
            f"{where}: run must have rows in the {of_phase} phase, got {run.path} with none at "
            f"step {snapshot.step}. Pass phase= or step=."
        )
    return Source(
        Settings(**{name: recorded[name] for name in names}),
        {name: each.width for name, each in plain.items()},
        decompose,
        tuple(name for name, each in readings.items() if each.sketched),
        of_phase,
        snapshot.step,
        _picked(run),
    )


def _picked(run: StoredRun) -> frozenset[str]:
    found = [session.get("picked") for session in run.sessions]
    names = [each for names in found if isinstance(names, list) for each in names]
    return frozenset(name for name in names if isinstance(name, str))


class _Gathering(Protocol):
    """What a monitor and a capture have in common."""

    @property
    def settings(self) -> Settings: ...

    def moments(self, phase: str) -> dict[str, Moments]: ...

    def report(self) -> Reports: ...


def _of_window(window: _Gathering, phase: str | None, where: str) -> Source:
    found: dict[str, dict[str, Moments]] = {each: window.moments(each) for each in PHASES}
    of_phase = phase or ("train" if found["train"] and not found["eval"] else "eval")
    moments = {name: each for name, each in found[of_phase].items() if each.rows}
    if not moments:
        raise ArgumentError(
            f"{where}: monitor must have rows of the {of_phase} phase in its window, got none. "
            "Call the model in that phase first, as snapshot() begins a new window; or pass a run "
            'that was watched with keep="covariance".'
        )
    sketched = [each.layer for each in window.report() if each.rows]
    return Source(
        window.settings,
        {name: each.width for name, each in moments.items()},
        lambda layers: {name: Directions.of(moments[name]) for name in layers},
        tuple(name for name in sketched if not any(name in of for of in found.values())),
        of_phase,
    )


def _of_moments(given: Mapping[Any, Any], phase: str | None, where: str) -> Source:
    wrong = next((n for n, each in given.items() if not isinstance(each, Moments)), None)
    if wrong is not None or not given:
        came = f"{type(given[wrong]).__name__} at {wrong!r}" if given else "an empty one"
        raise ArgumentError(
            f"{where}: source must be a dict of layers and Moments, got {came}. "
            "Pass Monitor.moments()."
        )
    for name, each in given.items():
        if not each.rows:
            raise ArgumentError(
                f"{where}: moments must have rows, got none of {name!r}. Leave it out."
            )
    return Source(
        Settings(),
        {name: each.width for name, each in given.items()},
        lambda layers: {name: Directions.of(given[name]) for name in layers},
        phase=phase,
    )


def _attached(model: nn.Module, where: str) -> Capture:
    """Return what the one monitor that is attached to a model has gathered."""
    found = dict.fromkeys(
        hook.listener for hook in _hooks(model.modules()) if isinstance(hook.listener, Capture)
    )
    captures = [each for each in found if each is not None]
    if len(captures) != 1:
        came = "no monitor attached to it" if not captures else f"{len(captures)} attached"
        raise ArgumentError(
            f"{where}: model must be watched where source is left out, got {came}. "
            'Pass source=, a run that was watched with keep="covariance" or a monitor.'
        )
    return captures[0]


def _hooks(modules: Any) -> Iterator[Hook]:
    for module in modules:
        yield from (each for each in module._forward_hooks.values() if isinstance(each, Hook))


def _chosen(
    model: nn.Module, source: Source, layers: LayerFilter | None, where: str
) -> list[Layer]:
    root = unwrapped(model)
    known = [facts.name for facts, _ in all_modules(root)]
    if layers is None:
        names = [*source.widths, *source.sketched]
        if foreign := [name for name in names if name not in known]:
            raise LayerSelectionError(
                f"{where}: layers must be in the model, got {foreign[0]!r} from the source, which "
                f"{type(root).__name__} does not have. {near(foreign[0], known[1:])} Pass the "
                "model that was watched, or layers=[...]."
            )
        found = watchable(root, names, source.settings, {})
    else:
        found = select_layers(root, layers, source.settings, where=where)
        named = () if callable(layers) else [layers] if isinstance(layers, str) else layers
        there = {*source.widths, *source.sketched}
        for each in found:
            if each.facts.name in named and each.facts.name not in there:
                raise LayerSelectionError(
                    f"{where}: layers must have rows in the source, got {each.facts.name!r} that "
                    f"has none. {near(each.facts.name, list(source.widths))}"
                )
        found = [each for each in found if each.facts.name in there]
        if not found:
            raise LayerSelectionError(
                f"{where}: layers must have rows in the source, got {layers!r} of which none has. "
                f"{near('', list(source.widths))}"
            )
    order = {name: place for place, name in enumerate([*source.widths, *source.sketched])}
    found.sort(key=lambda each: order[each.facts.name])
    for each in found:
        _check(each, source, where)
    return found


def _check(layer: Layer, source: Source, where: str) -> None:
    name = layer.facts.name
    if name in source.sketched:
        raise LayerSelectionError(
            f"{where}: layers must have a covariance, got {name!r}, which is sketched. Leave it "
            f'out with layers=["*", "!{name}"], or watch with a larger max_width.'
        )
    width, here = source.widths[name], layer.facts.width
    if here is not None and here != width:
        raise ShapeError(
            f"{where}: layer {name} must have width {width}, as in the source, got {here}. "
            "Pass the model that was watched."
        )
    hooks = (hook for hook in _hooks([layer.module]) if isinstance(hook, LayerHook))
    if name in source.picked or any(hook.layer.pick is not main_output for hook in hooks):
        raise LayerSelectionError(
            f"{where}: layers must be read as they are unasked, got {name!r}, whose output is "
            f'picked by watch(outputs=...). Leave it out with layers=["*", "!{name}"].'
        )
