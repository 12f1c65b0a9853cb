"""`fathom experiment run`."""

import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn
from rich.progress import Task as Bar
from rich.text import Text

from fathom.cli.experiment_folder import Name, Out, begun, command_of, layout_of
from fathom.cli.experiment_status import failures, summary
from fathom.cli.show import console
from fathom.errors import ArgumentError, FathomError, choose
from fathom.experiments.data.load import from_hub, load
from fathom.experiments.device import DEVICES, device_of
from fathom.experiments.estimate import in_words
from fathom.experiments.layout import Layout
from fathom.experiments.spec import Spec
from fathom.experiments.status import counts, progress
from fathom.experiments.suite import Event, plan, run, workers_for
from fathom.experiments.task import Task
from fathom.text import visible

# Looking at the files of all tasks costs something where they lie on another machine.
_SECONDS_BETWEEN_LOOKS = 3.0


def run_experiment(
    name: Name = None,
    data: Annotated[
        list[str] | None, typer.Option(help="A data set; give it again for more.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model; again for more.")] = None,
    width: Annotated[
        list[float] | None,
        typer.Option(help="A share of a model's own width, or units; again for more."),
    ] = None,
    classes: Annotated[
        list[int] | None, typer.Option(help="How many classes are used; again for more.")
    ] = None,
    clutter: Annotated[
        list[float] | None,
        typer.Option(help="How much photograph lies behind, in [0, 1]; again for more."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How long each training is.")] = None,
    repetitions: Annotated[
        int | None, typer.Option(help="How often each is repeated; more later add to them.")
    ] = None,
    out: Out = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trainings at a time. Default: one a core; on a GPU one."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train on the workers of this Dask scheduler."),
    ] = None,
    device: Annotated[str, typer.Option(help=f"{', '.join(DEVICES)}.")] = "auto",
    data_folder: Annotated[
        Path | None,
        # A worker of Dask stands in another folder.
        typer.Option(
            resolve_path=True, help="Where a data set lies that the hub is not asked for."
        ),
    ] = None,
) -> None:
    """Train what is not done yet; typed again, it goes on where it was.

    Options such as --data and --width replace what the experiment says itself.

    Example: fathom experiment run dense-width --data digits --epochs 5 --repetitions 2
    """
    choose(device, DEVICES, where="experiment run: --device")
    if dask is not None and workers is not None:
        raise ArgumentError(
            f"experiment run: --workers must not be given with --dask, got {workers}. Start as "
            "many workers of Dask."
        )
    axes = {
        axis: values
        for axis, values in (
            ("data", data), ("classes", classes), ("clutter", clutter), ("model", model),
            ("width", width),
        )
        if values
    }  # fmt: skip
    layout = layout_of(name, out)
    spec = None
    if name is not None:
        spec = Spec.find(name).changed(repetitions=repetitions, epochs=epochs, **axes)
        called, tasks = spec.name, spec.tasks()
    elif axes or epochs is not None or repetitions is not None:
        raise ArgumentError(
            "experiment run: NAME must be given where the experiment is changed, got --out alone, "
            "which goes on with what the folder holds."
        )
    else:
        _, body, tasks = begun(name, out)
        called = body["name"]
    left = [task for task in tasks if not layout.done(task).exists()]
    # A cluster's own scheduler ends a job by it; the workers would outlive this process.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        if dask is None:
            device_of(device)
            _refuse_missing(left, data_folder)
        if spec is not None:
            _write_plan(spec, layout)
        parts = [
            f"{called}: {len(tasks)} trainings, {len(tasks) - len(left)} done already",
            visible(str(layout.root)),
            dask or f"{workers or workers_for(device)} at a time",
        ]
        typer.echo("; ".join(parts))
        if left:
            events = run(
                left, layout, workers=workers, dask=dask, device=device, data_folder=data_folder
            )
            _follow(events, layout, tasks, done=len(tasks) - len(left))
    except KeyboardInterrupt:
        typer.echo("Stopped. What was done is kept: the same command goes on.")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    _end(layout, tasks, name, out)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _write_plan(spec: Spec, layout: Layout) -> None:
    try:
        plan(spec, layout)
    except FathomError:
        raise
    except OSError as error:
        raise ArgumentError(
            f"experiment run: --out must be a folder that can be written, got {layout.root}: "
            f"{error.strerror or error}."
        ) from error


def _refuse_missing(tasks: Sequence[Task], folder: Path | None) -> None:
    """Load each kind of data once: what cannot be had is told at once, not by every training."""
    if tasks and folder is not None and not any(from_hub(task.data) for task in tasks):
        raise ArgumentError(
            f"experiment run: --data-folder must be for data of the hub, got it for "
            f"{tasks[0].data}. Pass --data cifar10 with it, or leave it out."
        )
    kinds = {(task.data, task.classes, task.clutter > 0): task for task in tasks}
    for task in kinds.values():
        load(
            task.data,
            classes=task.classes,
            clutter=task.clutter,
            repetition=task.repetition,
            folder=folder,
        )


def _follow(events: Iterator[Event], layout: Layout, tasks: Sequence[Task], *, done: int) -> None:
    terminal = console()
    if not terminal.is_terminal:
        for event in events:
            done += event.kind == "done"
            _tell(event, layout, f"{done} of {len(tasks)}", terminal)
        return
    with Progress(
        BarColumn(bar_width=20), _Summary(layout, tasks), console=terminal, transient=True
    ) as shown:
        bar = shown.add_task("", total=len(tasks), completed=done)
        for event in events:
            if event.kind == "done":
                shown.advance(bar)
            else:
                _tell(event, layout, "", terminal)


class _Summary(ProgressColumn):
    """How many are done, and the time left."""

    def __init__(self, layout: Layout, tasks: Sequence[Task]):
        super().__init__()
        self._layout, self._tasks = layout, tasks
        self._looked, self._seen = -math.inf, Text("")

    def render(self, task: Bar) -> Text:
        """Return it as it was a few seconds ago at most."""
        if time.monotonic() > self._looked + _SECONDS_BETWEEN_LOOKS:
            # A file that cannot be read now is told at the end.
            with suppress(FathomError):
                found = progress(self._layout, self._tasks)
                self._seen = Text(summary(found))
            self._looked = time.monotonic()
        return self._seen


def _tell(event: Event, layout: Layout, count: str, terminal: Console) -> None:
    """Print a line of what happened; above the bar, where there is one."""
    if event.task is None:
        line = event.text
    elif event.kind == "done":
        (found,) = progress(layout, [event.task])
        accuracy = "" if math.isnan(found.accuracy) else f", test accuracy {found.accuracy:.3f}"
        line = f"{count}: {event.task.name}, {in_words(found.seconds)}{accuracy}"
    else:
        line = f"{event.kind}: {event.task.name}: {event.text}"
    terminal.print(visible(line), markup=False, highlight=False, soft_wrap=True)


def _end(layout: Layout, tasks: Sequence[Task], name: str | None, out: Path | None) -> None:
    found = progress(layout, tasks)
    count = counts(found)
    typer.echo(summary(found))
    if count["done"]:
        for subcommand in ("figures", "findings"):
            typer.echo(f"{subcommand}: {command_of(subcommand, name, out)}")
    if count["running"]:
        typer.echo(f"Another process trains the rest: {command_of('status', name, out)}")
    if count["failed"]:
        typer.echo(failures(found, layout))
        typer.echo("The same command tries them again.")
        raise typer.Exit(1)
