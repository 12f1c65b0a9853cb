"""`fathom experiment status`."""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from fathom.cli.experiment_folder import Name, Out, begun, command_of
from fathom.cli.output import standard_output
from fathom.experiments.estimate import in_words, seconds_left
from fathom.experiments.layout import Layout
from fathom.experiments.status import Cell, Progress, cells, counts, last_line, progress
from fathom.text import columns, visible
from fathom.views.numbers import number

# A full disk leaves an empty file.
_UNTOLD = "its traceback could not be written"


def status(
    name: Name = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell how far an experiment is, also while it runs and on other machines.

    Example: fathom experiment status dense-width
    """
    layout, body, tasks = begun(name, out)
    found = progress(layout, tasks)
    with standard_output("experiment status"):
        if as_json:
            typer.echo(json.dumps({**body, **_record(found, layout)}, indent=2))
            return
        typer.echo(f"{visible(str(layout.root))}: {summary(found)}\n")
        typer.echo(_table(cells(found)))
        count = counts(found)
        if count["failed"]:
            typer.echo(f"\n{failures(found, layout)}")
        if not count["running"] and count["done"] < len(found):
            typer.echo(f"\nNothing runs now. Go on: {command_of('run', name, out)}")


def summary(tasks: Sequence[Progress]) -> str:
    """Write how far tasks are in a line.

    Args:
        tasks: How far each is.

    Returns:
        Such as `12 of 50 done, 2 running, 0 failed, about 8 min left`.
    """
    count = counts(tasks)
    words = f"{count['done']} of {len(tasks)} done"
    words += f", {count['running']} running, {count['failed']} failed"
    if not count["running"] + count["waiting"]:
        return words
    left = seconds_left(tasks)
    if math.isnan(left):
        return f"{words}, time left: –"
    words += f", about {in_words(left)} left"
    return words if count["running"] else f"{words} with one at a time"


def failures(tasks: Sequence[Progress], layout: Layout) -> str:
    """Write what the failed tasks ended with.

    Args:
        tasks: How far each is.
        layout: Where their files lie.

    Returns:
        Two lines a failed task: its name and error, and where the whole traceback is.
    """
    return "\n".join(
        f"failed: {each.task.name}: {visible(last_line(layout, each.task)) or _UNTOLD}\n"
        f"    {visible(str(layout.failed(each.task)))}"
        for each in tasks
        if each.state == "failed"
    )


def _table(found: Sequence[Cell]) -> str:
    rows = [("data", "model", "width", "done", "epochs", "time", "test accuracy")]
    for cell in found:
        task = cell.tasks[0].task
        begun_epochs = ", ".join(map(str, cell.begun))
        rows.append((
            cell.problem,
            task.model,
            f"{task.width:g}",
            f"{counts(cell.tasks)['done']}/{len(cell.tasks)}",
            f"{begun_epochs} of {task.training.epochs}" if begun_epochs else "",
            in_words(cell.seconds),
            "–" if math.isnan(cell.accuracy) else f"{cell.accuracy:.3f}",
        ))  # fmt: skip
    return columns(rows, right=frozenset({2, 3, 5, 6}))


def _record(found: Sequence[Progress], layout: Layout) -> dict[str, Any]:
    return {
        "folder": str(layout.root),
        "trainings": len(found),
        **counts(found),
        "seconds_left": number(seconds_left(found)),
        "cells": [
            {
                "data": cell.tasks[0].task.data,
                "classes": cell.tasks[0].task.classes,
                "clutter": cell.tasks[0].task.clutter,
                "model": cell.tasks[0].task.model,
                "width": cell.tasks[0].task.width,
                "trainings": len(cell.tasks),
                **counts(cell.tasks),
                "epochs": cell.tasks[0].task.training.epochs,
                "epochs_of_running": cell.underway,
                "seconds": number(cell.seconds),
                "test_accuracy": number(cell.accuracy),
            }
            for cell in cells(found)
        ],
        "failures": [
            {
                "task": each.task.name,
                "error": last_line(layout, each.task),
                "traceback": str(layout.failed(each.task)),
            }
            for each in found
            if each.state == "failed"
        ],
    }
