"""Arguments that several subcommands share."""

from pathlib import Path
from typing import Annotated

import typer

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]

Threshold = Annotated[
    float | None,
    typer.Option(help="Share of the variance that counts as all, in (0, 1]. Default: as recorded."),
]
