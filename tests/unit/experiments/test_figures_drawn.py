"""That figures hold what the outcomes hold: read back from their axes."""

import numpy as np
from scipy.stats import spearmanr

from drawn import xs, ys
from figures_made import drawn, evaluated, grid, head, legend, panels


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
    (line,) = [each for each in axes.lines if each.get_linestyle() == "-"]
    np.testing.assert_allclose(ys(line), np.mean(rho, 0), atol=1e-12)
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
