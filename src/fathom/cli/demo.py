"""`fathom demo`."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fathom.cli.show import console
from fathom.errors import RunExistsError, RunNotFoundError
from fathom.experiments.demo import EPOCHS, SmallVGG, train
from fathom.snapshot import Snapshot
from fathom.store.removal import remove_run
from fathom.views.run import open_run
from fathom.views.tables import print_snapshot

# As the user can type it: a command in a virtual environment need not be on the path.
_FOUND = shutil.which("fathom") or Path(sys.argv[0]).name != "fathom"
_COMMAND = "fathom" if _FOUND else sys.argv[0]


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
    try:
        snapshot = _train(run, epochs, terminal)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. What was done is in {run}. Show it: {_COMMAND} show {run}")
        raise typer.Exit(130) from None
    terminal.print()
    print_snapshot(snapshot, phase="eval", console=terminal, title=str(run))
    typer.echo(f"\nThe run is in {run}. Show it again: {_COMMAND} show {run}")


def _train(run: Path, epochs: int, terminal: Console) -> Snapshot:
    snapshot = Snapshot(step=-1)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
        console=terminal,
    ) as progress:
        task = progress.add_task("training", total=1.0, now="")
        for share, taken in train(run, epochs=epochs):
            if taken is not None:
                snapshot = taken
                progress.update(task, now=_words(snapshot))
            progress.update(task, completed=share)
    return snapshot


def _words(snapshot: Snapshot) -> str:
    return (
        f"step {snapshot.step}  average saturation {snapshot.average_saturation():.3f}  "
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
    remove_run(run)
