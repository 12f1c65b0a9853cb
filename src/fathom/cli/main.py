"""The command `fathom`: its subcommands, and one line for every wrong use."""

import sys
import warnings
from io import TextIOWrapper
from typing import Annotated, TextIO

import typer

from fathom import __version__
from fathom.cli.demo import demo
from fathom.cli.experiment import experiment
from fathom.cli.export import export_run
from fathom.cli.plot import plot
from fathom.cli.probe import probe_model
from fathom.cli.report import report_runs
from fathom.cli.serve import serve
from fathom.cli.show import show
from fathom.cli.top import top
from fathom.errors import FathomError
from fathom.text import visible

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(show)
app.command()(top)
app.command("export")(export_run)
app.command()(plot)
app.command("report")(report_runs)
app.command()(serve)
app.command("probe")(probe_model)
app.add_typer(experiment, name="experiment")


@app.callback(invoke_without_command=True)
def fathom(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """See how much of each layer's width a PyTorch model really uses.

    Example: fathom show runs/demo
    """
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command; wrong use ends with status 2 and one line, never with a traceback."""
    warnings.showwarning = _one_line
    for stream in (sys.stdout, sys.stderr):
        # A layer may have any name, and a terminal may know ASCII alone.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False))
    except (typer.TyperException, FathomError) as error:
        message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        typer.echo(f"fathom: {visible(' '.join(message.split()))}", err=True)
        sys.exit(2)


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    typer.echo(f"fathom: warning: {visible(str(message))}", err=True)
