"""`fathom show`."""

import json
import math
from typing import Annotated

import typer
from rich.console import Console

from fathom.cli.options import RunPath, Threshold
from fathom.cli.output import standard_output
from fathom.errors import ArgumentError, choose
from fathom.listing import SORTS, layer_rows
from fathom.reading import PHASES
from fathom.snapshot import Snapshot
from fathom.spectral.vectors import check_threshold
from fathom.views.run import open_run
from fathom.views.tables import print_snapshot

# Tables that go to a pipe are never cut to a terminal's width.
_PIPE_WIDTH = 1000


def show(
    run: RunPath,
    phase: Annotated[
        str | None, typer.Option(help="train or eval. Default: eval, where it was observed.")
    ] = None,
    step: Annotated[int | None, typer.Option(help="The step. Default: the last.")] = None,
    threshold: Threshold = None,
    sort: Annotated[str, typer.Option(help=f"{', '.join(SORTS)}.")] = "order",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the layers of a run at one step as a table.

    Example: fathom show runs/demo --phase train --threshold 0.95 --sort saturation
    """
    choose(sort, tuple(SORTS), where="show: --sort")
    if phase is not None:
        choose(phase, PHASES, where="show: --phase")
    if threshold is not None:
        check_threshold(threshold, where="show")
    with open_run(run) as opened, standard_output("show"):
        steps = opened.steps
        if steps and step is not None and step not in steps:
            raise ArgumentError(
                f"show: --step must be one of the run, got {step}. It has {len(steps)}, from "
                f"{steps[0]} to {steps[-1]}."
            )
        snapshot = opened.snapshot(step, threshold=threshold)
        phase = phase or snapshot.usual_phase
        if as_json:
            typer.echo(json.dumps(_record(snapshot, phase, sort), indent=2))
        else:
            print_snapshot(snapshot, phase=phase, console=console(), title=str(run), sort=sort)


def console() -> Console:
    """Return a console for standard output: coloured in a terminal, plain in a pipe."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=_PIPE_WIDTH)


def _record(snapshot: Snapshot, phase: str, sort: str) -> dict[str, object]:
    return {
        "step": snapshot.step,
        "phase": phase,
        "average_saturation": _json(snapshot.average_saturation(phase)),
        "output_layer": snapshot.output_layer,
        "metrics": {name: _json(value) for name, value in snapshot.metrics.items()},
        "layers": [
            {key: _json(value) for key, value in row.items()}
            for row in layer_rows(snapshot.phase(phase), sort=sort)
        ],
        "unobserved": {name: snapshot.reasons.get(name, "") for name in snapshot.unobserved},
        "disabled": dict(snapshot.disabled),
    }


def _json(value: object) -> object:
    """Return a value that JSON can hold: null for nan and the infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
