"""How long an experiment still takes."""

import math

import numpy as np
import pytest
import torch

from fathom.experiments.estimate import in_words, multiply_adds, seconds_left
from fathom.experiments.models.build import ARCHITECTURES
from fathom.experiments.status import Progress
from fathom.experiments.task import Task, Training

EPOCHS = 10


def at(
    state: str,
    width: float,
    *,
    repetition: int = 0,
    epochs: int = 0,
    seconds: float = 0.0,
    data: str = "digits",
) -> Progress:
    task = Task(
        data=data,
        model="dense",
        width=width,
        repetition=repetition,
        training=Training(epochs=EPOCHS),
    )
    return Progress(
        task=task, state=state, epochs=EPOCHS if state == "done" else epochs, seconds=seconds
    )


def products(width: float) -> float:
    return 3072 * 128 + 128 * width + width * 10


def test_nothing_is_left_of_what_is_done_or_failed() -> None:
    assert seconds_left([at("done", 8, seconds=5.0), at("failed", 16)]) == 0


def test_nothing_is_known_before_an_epoch_has_ended() -> None:
    assert math.isnan(seconds_left([at("running", 8), at("waiting", 16)]))


def test_a_task_takes_as_long_as_its_repetitions() -> None:
    tasks = [
        at("done", 8, seconds=4.0),
        at("done", 8, repetition=1, seconds=6.0),
        at("done", 512, seconds=1000.0),
        at("waiting", 8, repetition=2),
        at("waiting", 8, repetition=3),
    ]
    assert seconds_left(tasks) == pytest.approx(2 * 5.0)


def test_of_a_running_task_the_epochs_count_that_are_left_of_it() -> None:
    tasks = [
        at("done", 8, seconds=20.0),
        at("running", 8, repetition=1, epochs=4, seconds=1.0),
        at("running", 8, repetition=2, epochs=9, seconds=1.0),
        *(at("waiting", 8, repetition=n) for n in range(3, 6)),
    ]
    # Two work: (12 + 2 + 3 * 20) / 2.
    assert seconds_left(tasks) == pytest.approx(37.0)


def test_what_is_cut_off_goes_on_from_its_last_epoch() -> None:
    assert seconds_left([at("waiting", 8, epochs=4, seconds=8.0)]) == pytest.approx(12.0)


def test_the_longest_is_done_by_one_however_many_work() -> None:
    tasks = [
        at("done", 8, seconds=20.0),
        at("running", 8, repetition=1, epochs=9, seconds=1.0),
        at("running", 8, repetition=2, epochs=0),
    ]
    assert seconds_left(tasks) == pytest.approx(20.0)


def test_another_width_is_read_off_the_least_squares_line_of_the_same_data() -> None:
    seen = {8: 8.0, 2048: 12.0, 8192: 20.0}
    x = np.array([products(width) for width in seen])
    slope, start = np.polyfit(x, np.array(list(seen.values())), 1)
    assert start > 0
    tasks = [at("done", width, seconds=seconds) for width, seconds in seen.items()]
    other = at("done", 4096, seconds=1e6, data="seven-vs-nine")
    assert seconds_left([*tasks, other, at("waiting", 4096)]) == pytest.approx(
        start + slope * products(4096)
    )


def test_data_of_which_nothing_is_known_take_what_the_others_take() -> None:
    tasks = [at("done", 8, seconds=4.0), at("waiting", 8, data="seven-vs-nine")]
    assert seconds_left(tasks) == pytest.approx(4.0)


def test_the_line_never_falls_nor_begins_below_zero() -> None:
    falling = [at("done", 8, seconds=9.0), at("done", 4096, seconds=3.0), at("waiting", 16384)]
    assert seconds_left(falling) == pytest.approx(6.0)
    a, b = products(8192), products(16384)
    steep = [at("done", 8192, seconds=1.0), at("done", 16384, seconds=9.0), at("waiting", 8)]
    through_zero = (a * 1.0 + b * 9.0) / (a**2 + b**2)
    assert seconds_left(steep) == pytest.approx(through_zero * products(8))


def test_multiply_adds_are_those_of_the_layers() -> None:
    assert multiply_adds("dense", 8.0) == products(8)
    # The least VGG11: its eight convolutions at 32, 16, 8, 4 and 2 pixels, and two layers.
    widths = [(3, 4, 32), (4, 8, 16), (8, 16, 8), (16, 16, 8), (16, 32, 4), (32, 32, 4)]
    widths += [(32, 32, 2), (32, 32, 2)]
    convolutions = sum(9 * inputs * outputs * side**2 for inputs, outputs, side in widths)
    assert multiply_adds("vgg11", 0.0625) == convolutions + 32 * 32 + 32 * 10


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_counted_and_nothing_is_drawn(name: str) -> None:
    before = torch.get_rng_state()
    # The least has more than one product a number of the picture.
    assert multiply_adds(name, 8 if ARCHITECTURES[name].units else 0.0625) > 3 * 32 * 32
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"), (3.21, "3.2 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"),
        (470, "8 min"), (3599, "1 h 0 min"), (12000, "3 h 20 min"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_a_time_is_written_as_people_say_it(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
