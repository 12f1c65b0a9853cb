import random
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_sample_images
from sklearn.linear_model import LogisticRegression

from fathom.errors import ArgumentError
from fathom.experiments.data.dataset import Dataset, Images
from fathom.experiments.data.imbalance import shares
from fathom.experiments.data.load import described, load
from fathom.experiments.data.subset import held_out


def bilinear(images: np.ndarray) -> np.ndarray:
    """8×8 to 32×32: each pixel of 4×4 lies between the middles of four."""
    places = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7)
    weights = np.clip(1 - np.abs(places[:, None] - np.arange(8)), 0, None)
    enlarged: np.ndarray = weights @ images @ weights.T
    return enlarged


def counts(images: Images) -> list[int]:
    return torch.bincount(images.labels).tolist()


def same(one: Images, other: Images) -> bool:
    return torch.equal(one.pixels, other.pixels) and torch.equal(one.labels, other.labels)


def of_classes(images: Images, *labels: int) -> torch.Tensor:
    return torch.isin(images.labels, torch.tensor(labels))


def states() -> tuple[Any, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def test_digits_are_scikit_learns_enlarged() -> None:
    images, labels = load_digits(return_X_y=True)
    expected = bilinear(images.reshape(-1, 8, 8)) * 255 / 16
    dataset = load("digits")
    parts = held_out(torch.from_numpy(labels), 360)
    for part, index in zip((dataset.train, dataset.test), parts, strict=True):
        assert part.labels.tolist() == labels[index].tolist()
        assert part.pixels.dtype is torch.uint8
        for channel in range(3):
            # Halves may be rounded either way.
            off = np.abs(part.pixels[:, channel].numpy() - expected[index])
            assert off.max() < 0.5 + 1e-6
    assert dataset.shape == (3, 32, 32)
    assert dataset.classes == tuple("0123456789")
    assert not dataset.flips
    assert (int(dataset.train.pixels.min()), int(dataset.train.pixels.max())) == (0, 255)


def test_the_split_is_whole_stratified_and_fixed() -> None:
    labels = torch.tensor([0] * 50 + [1] * 31 + [2] * 20)
    kept, out = held_out(labels, 20)
    assert sorted([*kept.tolist(), *out.tolist()]) == list(range(101))
    assert torch.bincount(labels[out]).tolist() == [10, 6, 4]
    assert torch.equal(held_out(labels, 20)[1], out)
    dataset = load("digits")
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    whole = np.array(counts(dataset.train)) + counts(dataset.test)
    assert np.abs(np.array(counts(dataset.test)) - whole * 360 / 1797).max() < 1


def test_seven_and_nine_are_those_of_the_digits() -> None:
    whole, two = load("digits"), load("seven-vs-nine")
    assert (two.name, two.classes, two.flips) == ("seven-vs-nine", ("7", "9"), False)
    for all_of_them, some in ((whole.train, two.train), (whole.test, two.test)):
        which = of_classes(all_of_them, 7, 9)
        assert torch.equal(some.pixels, all_of_them.pixels[which])
        assert torch.equal(some.labels, (all_of_them.labels[which] == 9).long())


@pytest.mark.parametrize("clutter", [0.0, 0.5])
def test_fewer_classes_are_the_first_ones(clutter: float) -> None:
    whole, few = load("digits", clutter=clutter), load("digits", clutter=clutter, classes=3)
    assert few.classes == ("0", "1", "2")
    for all_of_them, some in ((whole.train, few.train), (whole.test, few.test)):
        which = of_classes(all_of_them, 0, 1, 2)
        assert same(some, Images(all_of_them.pixels[which], all_of_them.labels[which]))


@pytest.mark.parametrize("classes", [None, 2, 7])
def test_imbalance_rises_linearly_and_takes_all_that_it_can(classes: int | None) -> None:
    balanced = load("digits", classes=classes)
    dataset = load("unbalanced-digits", classes=classes)
    full, drawn = np.array(counts(balanced.train)), np.array(counts(dataset.train))
    expected = np.linspace(1, 3, len(full)) / np.linspace(1, 3, len(full)).sum()
    assert sum(shares(len(full))) == pytest.approx(1)
    # Whole pictures: each class may miss less than one.
    assert np.abs(np.sort(drawn) / drawn.sum() - expected).max() < 2 / drawn.sum()
    assert (drawn <= full).all()
    assert (drawn == full).any()
    assert same(dataset.test, balanced.test)
    available = {bytes(each) for each in balanced.train.pixels.numpy()}
    taken = [bytes(each) for each in dataset.train.pixels.numpy()]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= available


def test_ten_classes_have_the_papers_shares() -> None:
    assert shares(10) == pytest.approx(np.linspace(0.05, 0.15, 10))


def test_imbalance_and_clutter_are_drawn_by_repetition() -> None:
    orders = {
        tuple(np.argsort(counts(load("unbalanced-digits", repetition=each).train)))
        for each in range(4)
    }
    assert len(orders) == 4
    one, two = (load("digits", clutter=0.5, repetition=each) for each in (0, 1))
    assert not torch.equal(one.train.pixels, two.train.pixels)
    assert not torch.equal(one.test.pixels, two.test.pixels)


def matches(picture: np.ndarray, free: np.ndarray, photographs: np.ndarray) -> np.ndarray:
    """All (photograph, row, column) whose patch is the picture where there is no ink."""
    height, width = photographs.shape[-2:]
    grid = np.meshgrid(range(2), range(height - 31), range(width - 31), indexing="ij")
    found = np.stack([each.ravel() for each in grid])
    for row, column in np.argwhere(free):
        there = photographs[found[0], :, found[1] + row, found[2] + column]
        found = found[:, (there == picture[:, row, column]).all(1)]
    return found.T


def test_clutter_is_of_photographs_whose_halves_are_kept_apart() -> None:
    photographs = np.stack(load_sample_images().images).transpose(0, 3, 1, 2)
    plain, half, whole = (load("digits", clutter=amount) for amount in (0.0, 0.5, 1.0))
    for part, left in (("train", True), ("test", False)):
        unique = 0
        for index in range(8):
            digit, blended, covered = (
                getattr(each, part).pixels[index].numpy() for each in (plain, half, whole)
            )
            places = matches(covered, digit[0] == 0, photographs)
            if len(places) != 1:
                continue  # such as of a sky of one colour
            unique += 1
            which, row, column = places[0]
            assert column + 32 <= 320 if left else column >= 320
            patch = photographs[which, :, row : row + 32, column : column + 32]
            for amount, got in ((0.5, blended), (1.0, covered)):
                expected = digit + amount * (1 - digit / 255) * patch
                assert np.abs(got - expected).max() < 0.5 + 1e-3
        assert unique >= 4


def accuracy(dataset: Dataset) -> float:
    def features(images: Images) -> np.ndarray:
        means = images.pixels.double().reshape(-1, 3, 8, 4, 8, 4).mean((3, 5)) / 255
        return means.flatten(1).numpy()

    model = LogisticRegression(max_iter=500).fit(features(dataset.train), dataset.train.labels)
    return float(model.score(features(dataset.test), dataset.test.labels))


def test_clutter_makes_digits_harder_but_not_hopeless() -> None:
    plain, half, whole = (accuracy(load("digits", clutter=amount)) for amount in (0, 0.5, 1))
    assert plain > half > whole + 0.03
    assert whole > 0.7


@pytest.mark.parametrize("name", ["digits", "seven-vs-nine", "unbalanced-digits"])
def test_the_same_arguments_give_the_same_bytes_and_leave_random_states_alone(name: str) -> None:
    before = states()
    first = load(name, clutter=0.25, repetition=3)
    assert states() == before
    torch.manual_seed(7)
    again = load(name, clutter=0.25, repetition=3)
    assert same(first.train, again.train)
    assert same(first.test, again.test)


def test_writing_into_a_data_set_does_not_change_the_next() -> None:
    load("digits").train.pixels.zero_()
    load("digits").train.labels.zero_()
    assert int(load("digits").train.pixels.max()) == 255
    assert counts(load("digits").train)[9] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "digit"}, r"name must be a data set, got 'digit'\. There are: digits, "),
        ({"name": "folder:"}, r"name must be a data set, got 'folder:'\. .*folder:PATH"),
        ({"name": "digits", "classes": 1}, "classes must be from 2 to 10, got 1"),
        ({"name": "digits", "classes": 11}, "classes must be from 2 to 10, got 11"),
        ({"name": "digits", "classes": 2.5}, "classes must be a whole number.*2.5"),
        ({"name": "seven-vs-nine", "classes": 3}, "classes must be from 2 to 2, got 3"),
        ({"name": "digits", "clutter": -0.1}, r"clutter must be in \[0, 1\], got -0.1"),
        ({"name": "digits", "clutter": 1.1}, r"clutter must be in \[0, 1\], got 1.1"),
        ({"name": "digits", "clutter": float("nan")}, r"clutter must be in \[0, 1\], got nan"),
        ({"name": "digits", "clutter": "much"}, "clutter must be a number.*'much'"),
        ({"name": "cifar10", "clutter": 0.5}, "clutter must be 0 for 'cifar10', got 0.5"),
        ({"name": "digits", "repetition": -1}, "repetition must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_had_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match="^data: " + message):
        load(**arguments)


def test_every_name_has_its_line() -> None:
    lines = described()
    assert next(iter(lines)) == "digits"
    assert lines.keys() > {"seven-vs-nine", "cifar10", "cat-vs-dog", "folder:PATH"}
    assert all(line and "\n" not in line for line in lines.values())
