"""`fathom top`."""

import os
import sys
from typing import Annotated

import typer

from fathom.cli.options import RunPath
from fathom.errors import ArgumentError
from fathom.extras import require


def top(
    run: RunPath,
    light: Annotated[
        bool | None,
        typer.Option(
            "--light/--dark",
            help="For light or dark terminals. Default: as COLORFGBG says, or dark.",
        ),
    ] = None,
) -> None:
    """Watch a run live in the terminal; it need not have begun.

    Example: fathom top runs/demo
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ArgumentError(
            "top: standard input and output must be a terminal, got none. For a pipe there is: "
            f"fathom show {run}"
        )
    if run.exists() and not run.is_dir():
        raise ArgumentError(f"top: RUN must be a folder, got the file {run}. Pass a run's folder.")
    require("textual", extra="tui")
    from fathom.views.top.app import Top

    app = Top(run, light=_is_light() if light is None else light)
    app.run()
    if app.return_code:
        raise typer.Exit(app.return_code)


def _is_light() -> bool:
    """Ask the terminal's own variable, `text;ground`: 7 and 15 are the white grounds."""
    return os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
