"""What the subcommands of `fathom experiment` share: a name or a folder, and what is in it."""

import shlex
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from fathom.errors import ArgumentError
from fathom.experiments.layout import Layout
from fathom.experiments.spec import Spec
from fathom.experiments.suite import planned
from fathom.experiments.task import Task

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        show_default=False,
        help="An experiment of `fathom experiment list`, or the path of a .toml file of your own. "
        "Not needed with --out, of a folder that holds one.",
    ),
]

Out = Annotated[
    Path | None,
    typer.Option(help="The folder of the experiment. Default: runs/NAME.", show_default=False),
]


class Planned(NamedTuple):
    """An experiment that was begun.

    Attributes:
        layout: Where its files lie.
        body: Its name, title and papers.
        tasks: Its tasks.
    """

    layout: Layout
    body: dict[str, Any]
    tasks: list[Task]


def layout_of(name: str | None, out: Path | None) -> Layout:
    """Return where an experiment lies.

    Args:
        name: As the user gave it, or None.
        out: The same.

    Raises:
        ArgumentError: If neither is given, there is no experiment of this name, or `out` is a file.
    """
    if out is not None:
        if out.exists() and not out.is_dir():
            raise ArgumentError(f"experiment: --out must be a folder, got the file {out}.")
        return Layout(out)
    if name is None:
        raise ArgumentError(
            "experiment: NAME or --out must be given, got neither. `fathom experiment list` lists "
            "the names."
        )
    return Layout(Path("runs") / Spec.find(name).name)


def begun(name: str | None, out: Path | None) -> Planned:
    """Read what was planned.

    Args:
        name: As the user gave it, or None for what the folder holds.
        out: As the user gave it, or None for that of the name.

    Raises:
        ArgumentError: If neither is given, there is no experiment of this name, or the folder
            holds another.
        ExperimentError: If the folder holds none.
    """
    layout = layout_of(name, out)
    body, tasks = planned(layout)
    if name is not None and body["name"] != (wanted := Spec.find(name).name):
        raise ArgumentError(
            f"experiment: --out must hold {wanted}, got {layout.root}, which holds {body['name']}. "
            "Leave the name out to take what is there."
        )
    return Planned(layout, body, tasks)


def command_of(subcommand: str, name: str | None, out: Path | None) -> str:
    """Return what to type for another subcommand on the same experiment.

    Args:
        subcommand: Such as `status`.
        name: As the user gave it, or None.
        out: The same.
    """
    words = ["fathom", "experiment", subcommand]
    words += [] if name is None else [name]
    words += [] if out is None else ["--out", str(out)]
    return shlex.join(words)
