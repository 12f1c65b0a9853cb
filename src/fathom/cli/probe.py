"""`fathom probe`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from torch import nn

from fathom.analysis.probe import MEMORY, probe
from fathom.cli.loading import load_weights, named_function
from fathom.errors import ArgumentError
from fathom.text import visible


def probe_model(
    build: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="A function that returns (model, train_data, eval_data); or FILE.py:FUNCTION.",
        ),
    ],
    run: Annotated[
        Path | None, typer.Option(help="The run to store the probes in. Default: none.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights to load into the model: a state dict.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="The step that the model is of. Default: the run's last.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="A pattern of names; give it again for more. Default: all layers."),
    ] = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="saga, 100 iterations, no scaling, as in the papers.")
    ] = False,
    memory: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=2**20,
            help="GiB that features may take; more goes to a temporary file.",
        ),
    ] = MEMORY / 2**30,
    workers: Annotated[
        int | None, typer.Option(help="Layers that are fitted at a time. Default: one a core.")
    ] = None,
) -> None:
    """Fit a linear classifier on the output of each layer, and print their accuracies.

    Example: fathom probe my_module:build --run runs/demo --checkpoint weights.pt
    """
    try:
        built = named_function(build, where="probe: MODULE:FUNCTION")()
        if not (isinstance(built, tuple) and len(built) == 3 and isinstance(built[0], nn.Module)):
            raise ArgumentError(
                "probe: MODULE:FUNCTION must return (model, train_data, eval_data), got "
                f"{type(built).__name__}. For example: return model, (x, y), (held_x, held_y)"
            )
        model, train_data, eval_data = built
        if checkpoint is not None:
            load_weights(model, checkpoint, where="probe: --checkpoint")
        found = probe(
            model,
            train_data,
            eval_data,
            run=run,
            step=step,
            layers=layers or None,
            legacy=legacy,
            memory=int(memory * 2**30),
            workers=workers,
            progress=sys.stderr.isatty(),
        )
    except KeyboardInterrupt:
        typer.echo("Stopped. Nothing was stored.", err=True)
        raise typer.Exit(130) from None
    for line in str(found).splitlines():
        typer.echo(visible(line))
    if run is not None:
        place = visible(str(run))
        typer.echo(f"Stored in {place}. Draw them: fathom plot {place} layers --probes")
