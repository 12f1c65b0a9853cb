"""What could have come of trainings, with the effects that a test plants in them."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fathom.experiments.outcome import Outcome
from fathom.experiments.task import Task, Training

Effects = Callable[[Task, float], Mapping[str, Any]]


def layers_of(model: str) -> tuple[str, ...]:
    """Names as networks have them, the output layer last; of ResNets with those of shortcuts."""
    if model == "dense":
        return ("input", "hidden", "output")
    if model.startswith("autoencoder"):
        return ("encoder.0", "encoder.3", "bottleneck", "decoder.0", "decoder.3")
    if model.startswith("resnet"):
        counts = (3, 4, 6, 3) if "34" in model else (2, 2, 2, 2)
        blocks = [
            f"layer{stage}.{block}"
            for stage, count in enumerate(counts, start=1)
            for block in range(count)
        ]
        inside = {
            block: ["conv1", "conv2"] + ["downsample.0"] * (block in _PROJECTED) for block in blocks
        }
        return (
            "conv1",
            *(f"{block}.{name}" for block, names in inside.items() for name in names),
            "fc",
        )
    depth = int(model.removeprefix("vgg"))
    return (*(f"features.{i}" for i in range(depth - 3)), "classifier.0", "classifier.2")


_PROJECTED = ("layer2.0", "layer3.0", "layer4.0")


def made(
    task: Task,
    *,
    level: float = 0.3,
    first_level: float | None = None,
    tail: int = 0,
    late_pattern: bool = False,
    settling: tuple[float, float] = (0.5, 2.0),
    accuracy: float = 0.9,
    dimension: float = 5.0,
    probes: Mapping[str, float] | None = None,
    pictures: int = 400,
) -> Outcome:
    """A training.

    Args:
        task: Which one.
        level: The average saturation in the last epoch on test data, and that of every layer if it
            has no tail, up to a tenth.
        first_level: The average in the first epoch; None for half as much again as the last.
        tail: How many layers at the end have 0.3 of the saturation of the others.
        late_pattern: Whether the order of the layers turns round in the last fifth of the epochs.
        settling: In how many epochs saturation and the loss, while training, come nearer by e.
        accuracy: In the last epoch on test data.
        dimension: The intrinsic dimension of all layers in the last epoch on test data.
        probes: The accuracy of some layers.
        pictures: Of the test data, each a row of every layer.
    """
    names = layers_of(task.model)
    count, length = len(names), task.training.epochs
    shape = np.linspace(1.1, 0.9, count)
    shape[count - 1 - tail : -1] *= 0.3
    shape = shape / shape[:-1].mean()
    epochs = np.arange(1, length + 1)
    left = 1 - epochs / length
    start = 1.5 * level if first_level is None else first_level
    # The first row has the first level, the last row the last.
    levels = level + (start - level) * left / max(left[0], 1e-9)
    on_test = levels[:, None] * shape
    if late_pattern:
        turned = epochs <= 0.8 * length
        on_test[turned] = levels[turned, None] * shape[::-1]
    # Of another level, and settling in another time: a claim that reads the wrong phase is seen.
    while_training = (1 - level) * (1 + np.exp(-epochs / settling[0]))
    dimensions = np.full((length, count), 99.0)
    dimensions[-1] = dimension
    losses = np.exp(-epochs / settling[1])
    metrics = {"train_loss": losses, "test_loss": losses + 0.1}
    if not task.model.startswith("autoencoder"):
        metrics |= {
            "train_accuracy": np.linspace(0.1, 1.0, length),
            "test_accuracy": np.append(np.linspace(0.1, 0.5, length - 1), accuracy),
        }
    pair = task.data in ("seven-vs-nine", "cat-vs-dog")
    widths = (20,) * (count - 1) + (task.classes or (2 if pair else 10),)
    return Outcome(
        task=task,
        layers=names,
        widths=widths,
        rows_per_width=pictures / np.array(widths),
        test_pictures=pictures,
        saturation={"eval": on_test, "train": while_training[:, None] * shape},
        intrinsic_dimension={"eval": dimensions, "train": np.full((length, count), math.nan)},
        metrics=metrics,
        probes=probes or {},
    )


def trainings(
    effects: Effects,
    *,
    repetitions: int = 4,
    epochs: int = 10,
    noise: float = 0.01,
    seed: int = 0,
    **axes: tuple[Any, ...],
) -> list[Outcome]:
    """Return one for every combination.

    Args:
        effects: From the task, and a normal draw of its own, to arguments of `made`.
        repetitions: Of each.
        epochs: How long each is.
        noise: The standard deviation of the draws.
        seed: Of the draws.
        axes: Of the tasks: `data`, `model`, `width`, `classes`, `clutter`.
    """
    draws = np.random.default_rng(seed)
    axes = {"data": ("digits",), "model": ("vgg16",), "width": (1.0,), **axes}
    found = []
    for repetition in range(repetitions):
        for values in itertools.product(*axes.values()):
            task = Task(
                repetition=repetition,
                training=Training(epochs=epochs),
                **dict(zip(axes, values, strict=True)),
            )
            found.append(made(task, **effects(task, float(draws.normal(0, noise)))))
    return found
