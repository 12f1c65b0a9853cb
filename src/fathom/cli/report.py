"""`fathom report`."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from fathom.errors import ArgumentError
from fathom.text import size, visible
from fathom.views.report import report, write_report
from fathom.views.run import open_run


def report_runs(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="The folders of one or more runs.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file, - for standard output. Default: RUN.html."),
    ] = None,
) -> None:
    """Write one or more runs as one file of HTML, to read, send and print.

    Example: fathom report runs/demo -o demo.html
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_run(run)) for run in runs]
        if output == Path("-"):
            # In another encoding the scripts would not be those whose hashes the page allows.
            sys.stdout.buffer.write(report(opened).encode())
            return
        path = output or Path("-".join(run.resolve().name for run in runs) + ".html")
        try:
            written = write_report(opened, path)
        except OSError as error:
            raise ArgumentError(
                f"report: --output must be writable, got {path}: {error.strerror or error}."
            ) from error
    typer.echo(f"{visible(str(path))}: {size(written)}")
