"""Which figures come of which outcomes, and that they hold what the outcomes hold."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import spearmanr

from drawn import xs, ys
from fathom.errors import MissingExtraError
from fathom.experiments.figures.figures import draw, figures
from fathom.experiments.figures.numbers import pattern_correlation
from fathom.experiments.outcome import Numbers, Outcome
from figures_made import grid, made, unknown


def drawn(outcomes: list[Outcome], stem: str) -> Figure:
    return figures(outcomes)[stem]()


def panels(figure: Figure) -> list[Axes]:
    return [each for each in figure.axes if each.get_label() != "<colorbar>"]


def head(figure: Figure) -> str:
    return str(figure.get_suptitle())


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


def curves(axes: Axes) -> list[Numbers]:
    """The lines through more than one place, without those across the panel."""
    return [ys(line) for line in axes.lines if line.get_linestyle() == "-" and len(ys(line)) > 1]


def is_inside(figure: Figure) -> None:
    figure.draw_without_rendering()
    assert figure.legends
    for each in (*figure.legends, *figure.texts, *panels(figure)):
        box = each.get_tightbbox()
        assert box is not None
        assert -1 <= box.x0 <= box.x1 <= figure.bbox.width + 1
        assert -1 <= box.y0 <= box.y1 <= figure.bbox.height + 1


def evaluated(outcome: Outcome) -> Numbers:
    return outcome.saturation["eval"]


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
    ids=str,
)
def test_what_the_outcomes_hold_decides_which_figures_there_are(
    outcomes: list[Outcome], stems: list[str]
) -> None:
    assert list(figures(outcomes)) == stems


def test_width_has_a_dot_a_repetition_and_a_line_through_the_means() -> None:
    outcomes = grid(("digits", "seven-vs-nine"), ("dense",), (32, 8), repetitions=2, epochs=2)
    figure = drawn(outcomes, "width")
    for axes, values in zip(panels(figure), ("intrinsic_dimension", "saturation"), strict=True):
        for place, data in enumerate(("digits", "seven-vs-nine")):
            of_width = {
                width: [
                    getattr(each, values)["eval"][-1, 1]
                    for each in outcomes
                    if (each.task.data, each.task.width) == (data, width)
                ]
                for width in (8, 32)
            }
            dots, line = axes.lines[2 * place : 2 * place + 2]
            assert xs(dots) == [8, 8, 32, 32]
            assert ys(dots).tolist() == of_width[8] + of_width[32]
            assert xs(line) == [8, 32]
            np.testing.assert_allclose(ys(line), [np.mean(each) for each in of_width.values()])
    assert legend(figure) == ["digits", "seven-vs-nine"]
    assert head(figure).endswith(
        "digits, seven-vs-nine · dense · 2 repetitions: each, and their mean"
    )
    assert panels(figure)[1].get_xlabel() == "width of hidden (units)"
    assert panels(figure)[1].get_ylabel() == "saturation of hidden\n(share of its width)"


def test_training_has_means_and_ranges_of_saturation_and_losses() -> None:
    outcomes = grid(width=(0.5, 0.25), repetitions=3, epochs=3)
    figure = drawn(outcomes, "training-vgg16")
    wide = [each for each in outcomes if each.task.width == 0.5]
    # The narrowest comes first.
    for axes, rows in zip(
        panels(figure),
        (
            [evaluated(each)[:, :-1].mean(1) for each in wide],
            [each.metrics["train_loss"] for each in wide],
            [each.metrics["test_loss"] for each in wide],
        ),
        strict=True,
    ):
        assert xs(axes.lines[1]) == [1, 2, 3]
        np.testing.assert_allclose(ys(axes.lines[1]), np.mean(rows, 0))
        corners = axes.collections[1].get_paths()[0].vertices
        for epoch in range(3):
            there = [y for x, y in np.asarray(corners) if x == epoch + 1]
            assert min(there) == np.min(rows, 0)[epoch]
            assert max(there) == np.max(rows, 0)[epoch]
    assert legend(figure) == ["width 1/4", "width 1/2"]


def test_accuracy_has_a_dot_a_training_and_a_line_on_each_side_of_45_percent() -> None:
    outcomes = grid(width=(1.0, 0.5, 0.125, 0.0625), repetitions=3, epochs=1)
    (axes,) = panels(drawn(outcomes, "accuracy"))
    points = {
        (evaluated(each)[-1, :-1].mean(), each.metrics["test_accuracy"][-1]) for each in outcomes
    }
    dots = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert {point for each in dots for point in zip(xs(each), ys(each), strict=True)} == points
    (bend,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert xs(bend) == [0.45, 0.45]
    fits = [line for line in axes.lines if line.get_linestyle() == "-"]
    for fit, side in zip(fits, (np.less_equal, np.greater), strict=True):
        x, y = np.array([each for each in sorted(points) if side(each[0], 0.45)]).T
        assert len(x) >= 5
        slope, start = np.polyfit(x, y, 1)
        assert xs(fit) == [x.min(), x.max()]
        np.testing.assert_allclose(ys(fit), start + slope * x[[0, -1]])


def test_few_trainings_have_no_line_of_least_squares() -> None:
    figure = drawn(grid(width=(1.0, 0.0625), repetitions=4, epochs=1), "accuracy")
    assert not [line for line in panels(figure)[0].lines if line.get_linestyle() == "-"]
    assert legend(figure) == ["digits", "width 1/16", "width 1", "45% saturation"]


def test_losses_are_those_of_the_last_epoch() -> None:
    outcomes = grid(("digits", "seven-vs-nine"), repetitions=2, epochs=2)
    for axes, name in zip(
        panels(drawn(outcomes, "losses")), ("train_loss", "test_loss"), strict=True
    ):
        found = sorted(y for line in axes.lines for y in ys(line))
        assert found == sorted(each.metrics[name][-1] for each in outcomes)


def test_layers_are_in_a_panel_a_network_by_width_and_model() -> None:
    outcomes = grid(model=("resnet18", "vgg11"), width=(0.5, 0.25), repetitions=2, epochs=2)
    figure = drawn(outcomes[:-1], "layers-digits")
    places = [("resnet18", 0.25), ("vgg11", 0.25), ("resnet18", 0.5), ("vgg11", 0.5)]
    for axes, (model, width) in zip(panels(figure), places, strict=True):
        own = [
            each for each in outcomes[:-1] if (each.task.model, each.task.width) == (model, width)
        ]
        kept = ["downsample" not in name for name in own[0].layers]
        means = np.mean([evaluated(each)[-1] for each in own], 0)[kept]
        np.testing.assert_allclose(ys(axes.lines[0]), means)
        assert xs(axes.lines[0]) == list(range(1, sum(kept) + 1))
        average = np.mean([evaluated(each)[-1, :-1].mean() for each in own])
        accuracy = np.mean([each.metrics["test_accuracy"][-1] for each in own])
        words = f"average {average:.2f} · accuracy {accuracy:.2f}"
        assert axes.get_title(loc="right") == words
    assert "without shortcut convolutions" in head(figure)
    assert "1 to 2 repetitions" in head(figure)


def test_a_network_that_is_not_there_leaves_its_panel_without_a_line() -> None:
    outcomes = grid(model=("vgg11",), width=(0.5, 0.25), epochs=1) + grid(
        model=("vgg13",), width=(0.5,), epochs=1
    )
    figure = drawn(outcomes, "layers-digits")
    assert [len(axes.lines) for axes in panels(figure)] == [1, 0, 1, 1]
    assert [text.get_text() for text in panels(figure)[1].texts] == ["not trained"]


def test_evolution_is_of_the_corners_alone() -> None:
    outcomes = grid(
        model=("vgg11", "vgg13", "vgg19"), width=(1.0, 0.5, 0.25), repetitions=2, epochs=3
    )
    figure = drawn(outcomes, "evolution-digits")
    places = [("vgg11", 0.25), ("vgg19", 0.25), ("vgg11", 1.0), ("vgg19", 1.0)]
    for axes, (model, width) in zip(panels(figure), places, strict=True):
        own = [
            evaluated(each)
            for each in outcomes
            if (each.task.model, each.task.width) == (model, width)
        ]
        cells = axes.collections[0].get_array()
        assert cells is not None
        np.testing.assert_allclose(np.asarray(cells).reshape(3, -1), np.mean(own, 0))


def test_problem_has_a_line_a_width_over_the_number_of_classes() -> None:
    outcomes = grid(classes=(None, 2, 4), width=(0.5, 0.25), repetitions=2, epochs=1)
    saturation, accuracy = panels(drawn(outcomes, "problem-classes"))
    for place, width in enumerate((0.25, 0.5)):
        own = [
            [each for each in outcomes if (each.task.width, each.task.classes) == (width, count)]
            for count in (2, 4, None)
        ]
        line = saturation.lines[place]
        # All classes are as many as there are outputs.
        assert xs(line) == [2, 4, 10]
        means = [np.mean([evaluated(each)[-1, :-1].mean() for each in some]) for some in own]
        np.testing.assert_allclose(ys(line), means)
        means = [np.mean([each.metrics["test_accuracy"][-1] for each in some]) for some in own]
        np.testing.assert_allclose(ys(accuracy.lines[place]), means)


def test_emergence_is_the_rank_correlation_with_the_last_epoch() -> None:
    outcomes = grid(model=("resnet18",), repetitions=2, epochs=4)
    (axes,) = panels(drawn(outcomes, "emergence-resnet18"))
    kept = ["downsample" not in name for name in outcomes[0].layers[:-1]]
    rho = [
        [spearmanr(row[:-1][kept], evaluated(each)[-1, :-1][kept])[0] for row in evaluated(each)]
        for each in outcomes
    ]
    (line,) = curves(axes)[-1:]
    np.testing.assert_allclose(line, np.mean(rho, 0), atol=1e-12)
    (alike,) = [each for each in axes.lines if each.get_linestyle() == "--"]
    assert ys(alike).tolist() == [0.9, 0.9]


def test_probes_have_bars_of_saturation_and_a_line_of_accuracy() -> None:
    outcomes = grid(model=("resnet18", "resnet18-stride1"), repetitions=2, epochs=1, probes=True)
    figure = drawn(outcomes, "probes-digits")
    for axes, model in zip(panels(figure), ("resnet18", "resnet18-stride1"), strict=True):
        own = [each for each in outcomes if each.task.model == model]
        names = [name for name in own[0].layers if "downsample" not in name]
        kept = [own[0].layers.index(name) for name in names]
        heights = [patch.get_height() for patch in axes.patches]  # type: ignore[attr-defined]
        np.testing.assert_allclose(heights, np.mean([evaluated(e)[-1, kept] for e in own], 0))
        means = [np.mean([each.probes[name] for each in own]) for name in names]
        np.testing.assert_allclose(ys(axes.lines[0]), means)
        itself = np.mean([each.model_accuracy for each in own])
        np.testing.assert_allclose(ys(axes.lines[1]), [itself, itself])
    assert legend(figure) == ["saturation", "accuracy of a probe", "accuracy of the network itself"]


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


def test_pattern_correlation_has_no_value_where_there_is_no_order() -> None:
    values = np.array([[1.0, 1, 1], [3, 2, 1], [np.nan, 2, 3], [1, 3, 3], [1, 2, 3]])
    expected = [np.nan, -1.0, np.nan, spearmanr(values[3], values[4])[0], 1.0]
    np.testing.assert_allclose(pattern_correlation(values), expected)
    assert np.isnan(pattern_correlation(values[:3])).all()
    assert pattern_correlation(values[:0]).shape == (0,)
