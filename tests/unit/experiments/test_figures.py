"""Which figures come of which outcomes, of odd ones too, and their files."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from drawn import ys
from fathom.errors import MissingExtraError
from fathom.experiments.figures.figures import draw, figures
from fathom.experiments.outcome import Outcome
from figures_made import drawn, evaluated, grid, head, is_inside, legend, made, panels, unknown


@pytest.mark.parametrize(
    ("outcomes", "stems"),
    [
        ([], []),
        (grid(epochs=1), ["accuracy", "losses", "layers-vgg16"]),
        (
            grid(model=("dense",), width=(8, 16), epochs=2),
            ["width", "training-dense", "accuracy", "losses", "layers-dense", "evolution-dense"],
        ),
        (
            grid(model=("autoencoder",), width=(8,), epochs=2),
            ["training-autoencoder", "losses", "layers-autoencoder", "evolution-autoencoder"],
        ),
        (
            grid(("digits", "seven-vs-nine"), ("vgg11", "vgg13"), epochs=1),
            ["accuracy", "losses", "layers-digits", "layers-seven-vs-nine"],
        ),
        (
            grid(model=("vgg11", "vgg16"), epochs=2, probes=True),
            [
                "training-digits",
                "accuracy",
                "losses",
                "layers-digits",
                "evolution-digits",
                "emergence-digits",
                "probes-digits",
            ],
        ),
        (
            grid(classes=(2, None), epochs=1),
            ["accuracy", "losses", "layers-vgg16", "problem-classes"],
        ),
        (
            grid(clutter=(0.0, 0.5), epochs=1),
            ["accuracy", "losses", "layers-vgg16", "problem-clutter"],
        ),
        (
            grid(clutter=tuple(np.arange(6) / 8), epochs=1),
            ["accuracy", "losses", "layers-vgg16", "layers-vgg16-2", "problem-clutter"],
        ),
        # Units and shares of a width are not of one axis.
        (
            grid(model=("dense",), width=(8, 16), epochs=1) + grid(width=(0.5, 0.25), epochs=1),
            [
                "width-hidden",
                "width-network",
                "accuracy-hidden",
                "losses-hidden",
                "accuracy-network",
                "losses-network",
                "layers-dense",
                "layers-vgg16",
            ],
        ),
        # The names of both are one as a file's name.
        (
            grid(("a b", "a/b"), ("vgg11", "vgg13"), epochs=1),
            ["accuracy", "losses", "layers-a-b", "layers-a-b--2"],
        ),
    ],
    ids=[
        "nothing",
        "one epoch",
        "two widths in units",
        "no accuracy",
        "two models and problems",
        "probes",
        "classes",
        "clutter",
        "more columns than a page has",
        "two families",
        "names that signs alone tell apart",
    ],
)
def test_what_the_outcomes_hold_decides_which_figures_there_are(
    outcomes: list[Outcome], stems: list[str]
) -> None:
    assert list(figures(outcomes)) == stems


@pytest.mark.parametrize(
    ("outcomes", "stems"),
    [
        (
            grid(model=("dense",), width=(8, 16), classes=(2, 4), epochs=1, probes=True),
            ["width", "layers-dense", "problem-classes", "probes-dense"],
        ),
        (
            grid(model=("vgg11",), epochs=2),
            ["training-vgg11", "layers-vgg11", "evolution-vgg11", "emergence-vgg11"],
        ),
    ],
    ids=["one epoch", "two epochs"],
)
def test_numbers_that_are_not_there_are_drawn_as_nothing(
    outcomes: list[Outcome], stems: list[str]
) -> None:
    made_of = figures([unknown(each) for each in outcomes])
    assert list(made_of) == stems
    for draws in made_of.values():
        for axes in panels(draws()):
            lines = [ys(line) for line in axes.lines if line.get_linestyle() != "--"]
            assert not any(np.isfinite(line).any() for line in lines)


def test_a_repetition_that_is_lost_leaves_the_others() -> None:
    kept = made(epochs=2)
    gone = made(epochs=2, repetition=1)
    gone = replace(unknown(gone), metrics={"train_loss": np.array([np.inf, np.nan])})
    for stem, values in (
        (
            "training-vgg16",
            [
                evaluated(kept)[:, :-1].mean(1),
                kept.metrics["train_loss"],
                kept.metrics["test_loss"],
            ],
        ),
        ("layers-vgg16", [evaluated(kept)[-1]]),
    ):
        for axes, expected in zip(panels(drawn([kept, gone], stem)), values, strict=True):
            np.testing.assert_allclose(ys(axes.lines[0]), expected)


def test_a_network_of_one_layer_has_no_average() -> None:
    whole = made(epochs=2)
    cut = replace(
        whole,
        layers=whole.layers[-1:],
        widths=whole.widths[-1:],
        saturation={phase: rows[:, -1:] for phase, rows in whole.saturation.items()},
        intrinsic_dimension={
            phase: rows[:, -1:] for phase, rows in whole.intrinsic_dimension.items()
        },
    )
    made_of = figures([cut])
    assert list(made_of) == ["training-vgg16", "layers-vgg16", "evolution-vgg16"]
    (line,) = panels(made_of["layers-vgg16"]())[0].lines
    assert ys(line).tolist() == evaluated(whole)[-1, -1:].tolist()


def test_many_networks_and_problems_are_told_apart_and_inside_the_figure() -> None:
    data = ("_begins-low", "cost $5", "pictures of a very long name " * 3, *"abcdef")
    outcomes = grid(data, ("resnet18", "resnet18-stride1"), (1.0, 0.3), epochs=1)
    figure = drawn(outcomes, "accuracy")
    is_inside(figure)
    words = legend(figure)
    assert words[:2] == ["_begins-low", r"cost \$5"]
    assert words[9:13] == ["resnet18", "resnet18-stride1", "width 0.3", "width 1"]
    handles = figure.legends[0].legend_handles[:9]
    assert len({each.get_color() for each in handles if each}) == 9  # type: ignore[attr-defined]


def test_twenty_widths_are_told_apart_and_inside_the_figure() -> None:
    widths = [each / 20 for each in range(1, 21)]
    figure = drawn(grid(model=("vgg11",), width=widths, epochs=2), "emergence-vgg11")
    assert len(set(legend(figure))) == 21
    is_inside(figure)


def test_losses_of_many_sizes_have_numbers_that_people_read() -> None:
    small, large = made(epochs=1), made(width=0.5, epochs=1)
    outcomes = [
        replace(each, metrics={"train_loss": np.array([loss]), "test_loss": np.array([loss])})
        for each, loss in ((small, 0.001), (large, 0.5))
    ]
    figure = drawn(outcomes, "losses")
    figure.draw_without_rendering()
    axes = panels(figure)[0]
    assert axes.get_yscale() == "log"
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert {"0.001", "0.1", "0.5"} <= set(ticks)


def test_files_are_whole_and_named_as_their_figures(tmp_path: Path) -> None:
    outcomes = grid(model=("dense",), width=(8, 16), epochs=1)
    folder = tmp_path / "one" / "figures"
    written = draw(outcomes, folder, title="What it is about")
    assert [each.name for each in written] == [f"{stem}.png" for stem in figures(outcomes)]
    assert sorted(folder.iterdir()) == sorted(written)
    for each in written:
        with Image.open(each) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert round(picture.info["dpi"][0]) == 150
    assert head(figures(outcomes, title="What it is about")["losses"]()).endswith(
        "\nWhat it is about"
    )


def test_no_outcome_gives_no_file(tmp_path: Path) -> None:
    assert draw([], tmp_path / "figures") == []
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = grid(model=("dense",), width=(8,), epochs=1)
    old = tmp_path / "accuracy.png"
    old.write_bytes(b"old")

    def half(self: Figure, target: Path, **options: object) -> None:
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="No space left"):
        draw(outcomes, tmp_path)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [
        ("accuracy.png", b"old")
    ]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib.*'experiments'"):
        figures([])


def test_figures_are_no_business_of_pyplot() -> None:
    drawn(grid(epochs=1), "losses")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
