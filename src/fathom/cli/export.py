"""`fathom export`."""

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli.options import RunPath, Threshold
from fathom.cli.output import standard_output
from fathom.errors import ArgumentError, choose
from fathom.spectral.vectors import check_threshold
from fathom.text import visible
from fathom.views.export import COLUMNS, FORMS, export
from fathom.views.run import open_run


def export_run(
    run: RunPath,
    to: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(FORMS)}. Default: what the file ends with, or csv."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file, which is replaced; - for standard output. Default: RUN.csv, here.",
        ),
    ] = None,
    threshold: Threshold = None,
) -> None:
    """Write a run as one tidy table: a row a step, phase, layer and statistic.

    Example: fathom export runs/demo -o demo.parquet
    """
    ending = "" if output is None else output.suffix.lower().removeprefix(".")
    to = to or (ending if ending in FORMS else "csv")
    choose(to, FORMS, where="export: --to")
    if threshold is not None:
        check_threshold(threshold, where="export")
    with open_run(run) as opened:
        if output == Path("-"):
            with standard_output("export") as stream:
                export(opened, stream, form=to, threshold=threshold)
            return
        path = output or Path(f"{run.resolve().name}.{to}")
        try:
            count = export(opened, path, form=to, threshold=threshold)
        except OSError as error:
            raise ArgumentError(
                f"export: --output must be writable, got {path}: {error.strerror or error}."
            ) from error
    typer.echo(f"{visible(str(path))}: {count:,} rows of {', '.join(COLUMNS)}")
