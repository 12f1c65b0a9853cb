"""`fathom demo`."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fathom.cli.show import console
from fathom.errors import RunExistsError, RunNotFoundError
from fathom.experiments.demo import EPOCHS, SmallVGG, train
from fathom.snapshot import Snapshot
from fathom.store.run import open_run
from fathom.views.tables import print_snapshot


def demo(
    run: Annotated[
        Path, typer.Option(help="Where to record; the run of an earlier demo is replaced.")
    ] = Path("runs/demo"),
    epochs: Annotated[
        int, typer.Option(min=1, help="How often to go through the digits.")
    ] = EPOCHS,
) -> None:
    """Train a small VGG on handwritten digits, watched, and show its layers.

    Example: fathom demo --run runs/demo
    """
    _clear(run)
    terminal = console()
    typer.echo("Training a small VGG on scikit-learn's handwritten digits, watched by fathom")
    snapshot: Snapshot | None = None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
        console=terminal,
    ) as progress:
        task = progress.add_task("training", total=1.0, now="")
        for share, taken in train(run, epochs=epochs):
            snapshot = taken or snapshot
            now = "" if snapshot is None else _words(snapshot)
            progress.update(task, completed=share, now=now)
    if snapshot is not None:
        terminal.print()
        print_snapshot(snapshot, phase="eval", console=terminal, title=str(run))
        typer.echo(f"\nThe run is in {run}. Show it again: fathom show {run}")


def _words(snapshot: Snapshot) -> str:
    return (
        f"epoch {snapshot.step + 1}  average saturation {snapshot.average_saturation():.3f}  "
        f"accuracy {snapshot.metrics['accuracy']:.3f}"
    )


def _clear(run: Path) -> None:
    """Remove the run of an earlier demo, and nothing else."""
    try:
        with open_run(run) as earlier:
            model = earlier.facts.get("model", "an unknown model")
    except RunNotFoundError:
        return
    if model != f"{SmallVGG.__module__}.{SmallVGG.__qualname__}":
        raise RunExistsError(
            f"demo: --run must hold no other run, got {run}, a run of {model}. Pass another path."
        )
    shutil.rmtree(run)
