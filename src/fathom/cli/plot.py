"""`fathom plot`."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fathom.cli.options import Threshold
from fathom.errors import ArgumentError, choose
from fathom.extras import require
from fathom.reading import PHASES
from fathom.spectral.table import STATISTICS, check_statistic
from fathom.spectral.vectors import check_threshold
from fathom.text import visible
from fathom.views.files import replaced
from fathom.views.look import THEMES
from fathom.views.run import Run, open_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What each plot takes beside the theme.
_OPTIONS = {
    "layers": ("step", "phase", "statistic", "threshold", "probes"),
    "evolution": ("phase", "statistic", "threshold"),
    "spectrum": ("layer", "step", "phase", "threshold"),
    "metrics": (),
    "projection": ("step",),
    "similarity": ("name",),
}
_OF_ONE = ("evolution", "projection", "similarity")
_FORMS = ("svg", "png", "pdf")

# Of a PNG: sharp on screens of today and in print at half of its size.
_DOTS_PER_INCH = 150


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            default_factory=list,
            show_default=False,
            help="The folders of one or more runs.",
        ),
    ],
    kind: Annotated[
        str, typer.Argument(metavar="PLOT", help=f"{', '.join(_OPTIONS)}: the last word.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=f"The file, which ends in .{', .'.join(_FORMS)}. Default: RUN-PLOT.svg.",
        ),
    ] = None,
    phase: Annotated[
        str | None, typer.Option(help="train or eval. Default: eval, where it was observed.")
    ] = None,
    step: Annotated[
        list[int] | None, typer.Option(help="A step; give it again for more. Default: the last.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="The layer of a spectrum.")] = None,
    statistic: Annotated[
        str | None, typer.Option(help=f"{', '.join(STATISTICS)}. Default: saturation.")
    ] = None,
    threshold: Threshold = None,
    name: Annotated[
        str | None, typer.Option(help="The name of a similarity. Default: the only one.")
    ] = None,
    probes: Annotated[
        bool, typer.Option("--probes", help="Draw the accuracy of probes over the layers.")
    ] = False,
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
) -> None:
    """Draw a run, or several over each other, into a file.

    Example: fathom plot runs/demo layers --step 0 --step 11 -o layers.svg
    """
    if not runs:
        _refuse_alone(kind)
    choose(kind, tuple(_OPTIONS), where="plot: PLOT, which follows the runs,")
    form = _form(output)
    options = {
        "step": step or None,
        "phase": phase,
        "layer": layer,
        "statistic": statistic,
        "threshold": threshold,
        "name": name,
        "probes": probes or None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    _check(kind, given, runs=len(runs), theme=theme)
    require("matplotlib", extra="plots")
    names = "-".join(run.resolve().name for run in runs)
    path = output or Path(f"{names}-{kind}.{form}")
    with ExitStack() as stack:
        opened = [stack.enter_context(open_run(run)) for run in runs]
        figure = _figure(opened, kind, {**given, "theme": theme})
        try:
            with replaced(path) as unfinished:
                figure.savefig(unfinished, format=form, dpi=_DOTS_PER_INCH)
        except OSError as error:
            raise ArgumentError(
                f"plot: --output must be writable, got {path}: {error.strerror or error}."
            ) from error
    typer.echo(visible(str(path)))


def _refuse_alone(word: str) -> NoReturn:
    if word in _OPTIONS:
        raise ArgumentError(
            f"plot: RUN must stand before the plot, got {word} alone. "
            f"For example: fathom plot runs/demo {word}"
        )
    raise ArgumentError(
        f"plot: PLOT must follow the runs, got {word!r} alone. It is one of "
        f"{', '.join(_OPTIONS)}; for example: fathom plot {word} layers"
    )


def _form(output: Path | None) -> str:
    form = output.suffix.lower().removeprefix(".") if output else _FORMS[0]
    if form not in _FORMS:
        raise ArgumentError(
            f"plot: --output must end in .{', .'.join(_FORMS)}, got {str(output)!r}."
        )
    return form


def _check(kind: str, given: dict[str, Any], *, runs: int, theme: str) -> None:
    """Refuse what is wrong before a run is read."""
    choose(theme, tuple(THEMES), where="plot: --theme")
    for name in given:
        if name not in _OPTIONS[kind]:
            fitting = [each for each, names in _OPTIONS.items() if name in names]
            raise ArgumentError(
                f"plot: --{name} must be left out of {kind}, got {given[name]!r}. "
                f"It is of {' and '.join(fitting)}."
            )
    if "phase" in given:
        choose(given["phase"], PHASES, where="plot: --phase")
    if "statistic" in given:
        check_statistic(given["statistic"], where="plot: --statistic")
    if "threshold" in given:
        check_threshold(given["threshold"], where="plot: --threshold")
    if kind in _OF_ONE and runs > 1:
        raise ArgumentError(f"plot: {kind} must be of one run, got {runs}. Plot each by itself.")
    if kind == "projection" and len(given.get("step", ())) > 1:
        raise ArgumentError(
            f"plot: --step must be given once for projection, got {given['step']}. Plot each by "
            "itself."
        )
    if kind == "spectrum" and "layer" not in given:
        raise ArgumentError(
            "plot: --layer must name a layer for spectrum, got none. fathom show lists them."
        )


def _figure(runs: list[Run], kind: str, options: dict[str, Any]) -> "Figure":
    plots, others = runs[0].plot, {"runs": runs[1:]} if len(runs) > 1 else {}
    if kind == "layers":
        options["steps"] = options.pop("step", None)
    if kind == "projection":
        (options["step"],) = options.get("step", [None])
    drawn = getattr(plots, kind)(**options, **others)
    figure: Figure = (drawn[0] if isinstance(drawn, tuple) else drawn).figure
    return figure
