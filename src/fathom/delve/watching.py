"""The monitors under a tracker: one for each module that it was given."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from fathom.attach import watch
from fathom.errors import RunError, warn
from fathom.monitor import Monitor
from fathom.reading import PHASES, Readings
from fathom.snapshot import Snapshot
from fathom.views.run import open_run


class Watching:
    """Several monitors that read as one, with Delve's names of layers."""

    def __init__(
        self,
        roots: Sequence[nn.Module],
        names: Sequence[Mapping[str, str]],
        places: Sequence[Mapping[str, Any]],
        **options: Any,
    ):
        """Watch the layers of each root.

        Args:
            roots: The modules.
            names: Of each, fathom's name of a layer to Delve's.
            places: Of each, the arguments of `fathom.watch` that name its run.
            **options: Further arguments, of all.
        """
        self._names = list(names)
        self._runs = [place["run"] for place in places if "run" in place]
        self._monitors: list[Monitor] = []
        with ExitStack() as undo:
            for root, own, place in zip(roots, names, places, strict=True):
                layers = _Chosen(own)
                self._monitors.append(
                    undo.enter_context(watch(root, layers=layers, **place, **options))
                )
            undo.pop_all()

    @property
    def closed(self) -> bool:
        """Whether watching has ended."""
        return all(monitor.closed for monitor in self._monitors)

    def snapshot(self, epoch: int, metrics: Mapping[str, float]) -> Snapshot:
        """Wait for the numbers of all that was seen since the last one.

        Args:
            epoch: The step.
            metrics: The user's numbers.

        Returns:
            The layers of all roots, by Delve's names.
        """
        taken = [monitor.snapshot(epoch, **metrics) for monitor in self._monitors]
        found = {phase: Readings() for phase in PHASES}
        for snapshot, names in zip(taken, self._names, strict=True):
            for phase in PHASES:
                for name, reading in snapshot.wait().phase(phase).items():
                    layer = replace(reading.layer, name=names[name])
                    found[phase][names[name]] = replace(reading, layer=layer)
        # In a list of modules none is known to be the output of a model.
        output = taken[0].output_layer if len(taken) == 1 else None
        return Snapshot(
            step=epoch,
            metrics=metrics,
            train=found["train"],
            eval=found["eval"],
            output_layer=self._names[0].get(output) if output is not None else None,
        )

    def covariances(self, epoch: int) -> dict[tuple[str, str], Tensor]:
        """Return the covariances that the runs keep of an epoch.

        Args:
            epoch: The step, recorded.

        Returns:
            (d, d) float64 by phase and Delve's name; not of layers without one, such as sketched.
        """
        found: dict[tuple[str, str], Tensor] = {}
        for folder, names in zip(self._runs, self._names, strict=True):
            try:
                with open_run(folder) as run:
                    snapshot = run.snapshot(epoch)
                    for phase in PHASES:
                        for name, reading in snapshot.phase(phase).items():
                            if not reading.sketched:
                                covariance, _ = run.covariance(name, step=epoch, phase=phase)
                                found[phase, names[name]] = covariance
            except RunError as error:
                warn(f"fathom.delve: epoch {epoch} has no covariance matrices. {error}")
        return found

    def pause(self) -> None:
        """Leave calls out."""
        for monitor in self._monitors:
            monitor.pause()

    def resume(self) -> None:
        """Observe again."""
        for monitor in self._monitors:
            monitor.resume()

    def close(self) -> None:
        """Take the hooks off, and close the runs."""
        for monitor in self._monitors:
            monitor.close()


class _Chosen:
    """A predicate of some names."""

    def __init__(self, names: Mapping[str, str]):
        self._names = names

    def __call__(self, name: str, module: nn.Module) -> bool:
        return name in self._names
