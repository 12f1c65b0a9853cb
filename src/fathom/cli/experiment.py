"""`fathom experiment`: the papers' experiments, and the user's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fathom.cli.experiment_folder import Name, Out, begun, command_of
from fathom.cli.experiment_run import run_experiment
from fathom.cli.experiment_status import status
from fathom.cli.output import standard_output
from fathom.errors import ArgumentError, ExperimentError
from fathom.experiments.data.load import described
from fathom.experiments.layout import Layout
from fathom.experiments.models.build import ARCHITECTURES
from fathom.experiments.outcome import Outcome, outcomes
from fathom.experiments.spec import Spec
from fathom.experiments.task import Task
from fathom.extras import require
from fathom.text import columns, visible

experiment = typer.Typer(rich_markup_mode=None)


@experiment.callback(invoke_without_command=True)
def experiments(context: typer.Context) -> None:
    """Rerun the papers' experiments, or run your own.

    Example: fathom experiment run dense-width
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def list_experiments(
    data: Annotated[
        bool, typer.Option("--data", help="List the data sets and the models as well.")
    ] = False,
) -> None:
    """List the experiments that ship with fathom.

    Example: fathom experiment list --data
    """
    with standard_output("experiment list"):
        for spec in Spec.all():
            typer.echo(f"{spec.name}: {len(spec.tasks())} trainings, {spec.papers}")
            typer.echo(f"    {spec.title}")
        typer.echo("\nSA is Shenk et al. 2019, EP Richter et al. 2021.")
        if data:
            _list_data()


def _list_data() -> None:
    typer.echo("\nData sets, for --data:")
    typer.echo(columns(list(described().items())))
    typer.echo("\nModels, for --model, and what --width is of each:")
    rows = [
        (name, f"units of `{each.focus}`" if each.units else "a share of its own width")
        for name, each in ARCHITECTURES.items()
    ]
    typer.echo(columns(rows))


def figures(name: Name = None, out: Out = None) -> None:
    """Draw the papers' figures from the trainings that are done, as PNG files.

    Example: fathom experiment figures dense-width
    """
    layout, body, tasks = begun(name, out)
    require("matplotlib", extra="experiments")
    found = _finished(layout, tasks, name, out)
    from fathom.experiments.figures.figures import draw

    try:
        written = draw(found, layout.figures, title=f"experiment {body['name']}")
    except OSError as error:
        raise ArgumentError(
            f"experiment figures: {layout.figures} must be writable, got {error.strerror or error}."
        ) from error
    for path in written:
        typer.echo(visible(str(path)))
    typer.echo(_resting(found, tasks))


def findings(
    name: Name = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """State what the papers claim, each with its statistic over the trainings that are done.

    Example: fathom experiment findings dense-width
    """
    if as_json and markdown:
        raise ArgumentError("experiment findings: --json must stand alone, got --markdown as well.")
    layout, body, tasks = begun(name, out)
    found = _finished(layout, tasks, name, out)
    from fathom.experiments.findings.claims import findings as stated
    from fathom.experiments.findings.rows import provisional
    from fathom.experiments.findings.table import as_markdown, as_text

    read, caution = stated(found), provisional(found)
    with standard_output("experiment findings"):
        if as_json:
            record = {
                **body,
                "trainings": len(tasks),
                "done": len(found),
                "caution": caution,
                "findings": [each.to_body() for each in read],
            }
            typer.echo(json.dumps(record, indent=2))
        else:
            written = as_markdown if markdown else as_text
            typer.echo(written(read, caution=caution))
            typer.echo(f"\n{_resting(found, tasks)}")


def _finished(
    layout: Layout, tasks: Sequence[Task], name: str | None, out: Path | None
) -> list[Outcome]:
    """Return what came of the finished trainings, of which there has to be one."""
    found = outcomes(layout, tasks)
    if not found:
        raise ExperimentError(
            f"experiment: {layout.root} must hold a training that is done, got none of "
            f"{len(tasks)}. See how far they are: {command_of('status', name, out)}"
        )
    return found


def _resting(found: Sequence[Outcome], tasks: Sequence[Task]) -> str:
    return f"From {len(found)} of {len(tasks)} planned trainings."


for name, command in (
    ("list", list_experiments),
    ("run", run_experiment),
    ("status", status),
    ("figures", figures),
    ("findings", findings),
):
    experiment.command(name)(command)
