"""Outcomes that nobody trained: the shapes of real ones, for figures to be drawn of them."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fathom.experiments.figures.figures import figures
from fathom.experiments.outcome import Numbers, Outcome
from fathom.experiments.task import Task, Training

_DEPTHS = {"vgg11": 8, "vgg13": 10, "vgg16": 13, "vgg19": 16}
_OWN = {"dense": 128, "autoencoder": 128}
_EASIER = {"seven-vs-nine": 2, "unbalanced-digits": 9}


def layers_of(model: str, width: float) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names and widths of the layers that a network of this name is watched in."""
    names: tuple[str, ...]
    if model == "dense":
        return ("input", "hidden", "output"), (128, int(width), 10)
    if model == "autoencoder":
        names = ("encoder.0", "encoder.2", "bottleneck", "decoder.0", "decoder.3")
        return names, (32, 64, int(width), 64, 3)
    if model in _DEPTHS:
        convs = [f"features.{3 * place}" for place in range(_DEPTHS[model])]
        names = (*convs, "classifier.0", "classifier.2")
    else:
        blocks = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
        inner = [
            f"{block}.{part}"
            for block in blocks
            for part in ("conv1", "conv2", "downsample.0")
            if part != "downsample.0" or (block.endswith(".0") and block != "layer1.0")
        ]
        names = ("conv1", *inner, "fc")
    share = np.linspace(0, 3, len(names) - 1).round()
    return names, (*(max(1, int(64 * width * 2**stage)) for stage in share), 10)


def made(
    data: str = "digits",
    model: str = "vgg16",
    width: float = 1.0,
    *,
    classes: int | None = None,
    clutter: float = 0.0,
    repetition: int = 0,
    epochs: int = 20,
    probes: bool = False,
) -> Outcome:
    """Return an outcome whose numbers rise and fall as those of real trainings do."""
    task = Task(
        data=data,
        model=model,
        width=width,
        classes=classes,
        clutter=clutter,
        repetition=repetition,
        training=Training(epochs=epochs),
    )
    random = np.random.default_rng(task.seed())
    names, widths = layers_of(model, width)
    count = classes or _EASIER.get(data, 10)
    narrow = -math.log2(width / _OWN.get(model, 1.0)) / 4
    hard = 0.5 + 0.04 * count + 0.3 * clutter
    saturation = _saturation(len(names), narrow=narrow, hard=hard, epochs=epochs, random=random)
    if model == "resnet18":
        saturation[:, len(names) // 2 :] *= np.linspace(0.4, 0.1, len(names) - len(names) // 2)
    mean = saturation[:, :-1].mean(1)
    at = np.arange(1, epochs + 1)
    drop = hard * np.maximum(0.0, mean - 0.45)
    metrics = {
        "train_loss": 0.02 + 2 * np.exp(-at / 4) + narrow / 8,
        "test_loss": 0.1 + 2 * np.exp(-at / 4) + narrow / 6 + 0.004 * at,
    }
    if model != "autoencoder":
        best = 0.99 - 0.03 * mean - drop + 0.004 * random.standard_normal(epochs)
        metrics["test_accuracy"] = best - 0.6 * np.exp(-at / 2)
        metrics["train_accuracy"] = np.minimum(1.0, metrics["test_accuracy"] + 0.02)
    own = float(metrics["test_accuracy"][-1]) if probes else math.nan
    rise = np.minimum(1.0, np.linspace(0.25, 2.0 if model == "resnet18" else 1.1, len(names)))
    return Outcome(
        task=task,
        layers=names,
        widths=widths,
        saturation={"train": saturation * 0.98, "eval": saturation},
        intrinsic_dimension={
            phase: np.ceil(saturation * np.array(widths)) for phase in ("train", "eval")
        },
        rows_per_width=360 / np.array(widths),
        test_pictures=360,
        metrics=metrics,
        probes=dict(zip(names, (own * rise).tolist(), strict=True)) if probes else {},
        model_accuracy=own,
    )


def grid(
    data: Sequence[str] = ("digits",),
    model: Sequence[str] = ("vgg16",),
    width: Sequence[float] = (1.0,),
    *,
    repetitions: int = 1,
    classes: Sequence[int | None] = (None,),
    clutter: Sequence[float] = (0.0,),
    epochs: int = 20,
    probes: bool = False,
) -> list[Outcome]:
    """Return the outcomes of every combination, all first repetitions before the second ones."""
    return [
        made(
            name,
            kind,
            share,
            classes=some,
            clutter=much,
            repetition=repetition,
            epochs=epochs,
            probes=probes,
        )
        for repetition in range(repetitions)
        for name in data
        for some in classes
        for much in clutter
        for kind in model
        for share in width
    ]


def unknown(outcome: Outcome) -> Outcome:
    """Return the outcome with nan for every number."""

    def lost(values: Numbers) -> Numbers:
        return np.full(values.shape, np.nan)

    return replace(
        outcome,
        saturation={name: lost(values) for name, values in outcome.saturation.items()},
        intrinsic_dimension={
            name: lost(values) for name, values in outcome.intrinsic_dimension.items()
        },
        metrics={name: lost(values) for name, values in outcome.metrics.items()},
        probes=dict.fromkeys(outcome.probes, math.nan),
        model_accuracy=math.nan,
    )


def drawn(outcomes: list[Outcome], stem: str) -> Figure:
    return figures(outcomes)[stem]()


def panels(figure: Figure) -> list[Axes]:
    return [each for each in figure.axes if each.get_label() != "<colorbar>"]


def head(figure: Figure) -> str:
    return str(figure.get_suptitle())


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


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


def _saturation(
    layers: int, *, narrow: float, hard: float, epochs: int, random: np.random.Generator
) -> Numbers:
    place = np.linspace(0, 1, layers)
    # It rises, falls, and ends in a tail that is the longer the wider the network is.
    top = 0.25 + 0.2 * narrow
    shape = 0.3 + 0.6 * np.exp(-(((place - top) / (0.22 + 0.5 * narrow)) ** 2))
    shape = shape * (0.35 + 0.65 * narrow) * hard + 0.02
    last = np.clip(shape + 0.02 * random.standard_normal(layers), 0.01, 1.0)
    early = 0.8 * last + 0.1 * random.standard_normal(layers)
    fade = np.exp(-np.arange(epochs) / 3)[:, None]
    return np.clip(last + fade * (early - last), 0.01, 1.0)
