import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from fathom.experiments.data.dataset import Dataset
from fathom.experiments.data.load import load
from made_pictures import NAMES, PARTS, Made


def check(dataset: Dataset, made: Made, *, by_class: bool = False) -> None:
    for part, images in (("train", dataset.train), ("test", dataset.test)):
        labels = np.array(made.labels[part])
        order = np.argsort(labels, kind="stable") if by_class else np.arange(len(labels))
        assert images.labels.tolist() == labels[order].tolist()
        assert images.pixels.is_contiguous()
        expected = made.pixels[part][order].transpose(0, 3, 1, 2)
        assert np.array_equal(images.pixels.numpy(), expected)


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.fixture(scope="module")
def copy(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.disk(tmp_path_factory.mktemp("copies") / "cifar10")


WRITERS: dict[str, Callable[[Made, Path], Path]] = {
    "save_to_disk": Made.disk,
    "save_to_disk, other columns": lambda made, folder: made.disk(
        folder, columns=("image", "labels")
    ),
    "parquet": Made.parquet,
    "parquet of another program": Made.numbers,
    "pictures": Made.images,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_comes_back_byte_for_byte(
    made: Made, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # Neither brackets nor words that `datasets` takes for parts may matter.
    (tmp_path / "test [1]").mkdir()
    folder = WRITERS[name](made, tmp_path / "test [1]" / "train data")
    capfd.readouterr()
    dataset = load("cifar10", folder=folder)
    check(dataset, made, by_class=name == "pictures")
    assert (dataset.name, dataset.classes, dataset.flips) == ("cifar10", tuple(NAMES), True)
    assert capfd.readouterr() == ("", "")


def test_cats_and_dogs_are_those_of_the_whole(copy: Path) -> None:
    whole, two = load("cifar10", folder=copy), load("cat-vs-dog", folder=copy)
    assert (two.name, two.classes) == ("cat-vs-dog", ("cat", "dog"))
    for all_of_them, some in ((whole.train, two.train), (whole.test, two.test)):
        which = (all_of_them.labels == 3) | (all_of_them.labels == 5)
        assert torch.equal(some.pixels, all_of_them.pixels[which])
        assert torch.equal(some.labels, (all_of_them.labels[which] == 5).long())


def test_unbalanced_cifar10_has_the_papers_shares(tmp_path: Path) -> None:
    folder = Made(each=5).disk(tmp_path / "copy")  # 30 pictures of each class to fit on
    dataset = load("unbalanced-cifar10", folder=folder, repetition=1)
    counts = sorted(torch.bincount(dataset.train.labels).tolist())
    # 200 in all is the most of which 15% are 30.
    assert counts == [int(200 * (0.05 + 0.1 * step / 9) + 1e-6) for step in range(10)]
    assert torch.bincount(dataset.test.labels).tolist() == [10] * 10


def test_a_copy_is_decoded_once_for_all_that_is_made_of_it(copy: Path) -> None:
    first, second = (load("unbalanced-cifar10", folder=copy, repetition=each) for each in (0, 1))
    assert not torch.equal(first.train.labels, second.train.labels)
    assert first.test.pixels.data_ptr() == second.test.pixels.data_ptr()


def test_fewer_classes_of_a_copy_are_the_first_ones(copy: Path) -> None:
    dataset = load("cifar10", folder=copy, classes=2)
    assert dataset.classes == ("airplane", "automobile")
    assert torch.bincount(dataset.train.labels).tolist() == [6, 6]


def test_digits_leave_a_folder_aside(copy: Path) -> None:
    assert torch.equal(load("digits", folder=copy).test.pixels, load("digits").test.pixels)


def test_reading_leaves_random_states_and_the_settings_of_datasets_alone(copy: Path) -> None:
    datasets.enable_progress_bars()
    logger = logging.getLogger("datasets")
    level = logger.level

    def states() -> tuple[Any, ...]:
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    before = states()
    load("cifar10", folder=copy)
    assert states() == before
    assert logger.level == level
    assert not datasets.utils.are_progress_bars_disabled()


def test_pictures_of_any_size_and_mode_become_rgb_of_32(tmp_path: Path) -> None:
    for part in PARTS:
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            wide = np.zeros((64, 128, 3), dtype=np.uint8)
            wide[:, 32:96] = (10, 200, 30)
            wide[:, :32] = wide[:, 96:] = 255
            Image.fromarray(wide).save(tmp_path / part / name / "1-wide.PNG")
            grey = np.full((32, 32), 77, dtype=np.uint8)
            Image.fromarray(grey).save(tmp_path / part / name / "2-grey.png")
            clear = np.full((40, 40, 4), (1, 2, 3, 128), dtype=np.uint8)
            Image.fromarray(clear).save(tmp_path / part / name / "3-clear.png")
            Image.fromarray(grey).convert("P").save(tmp_path / part / name / "4-palette.gif")
            turned = Image.Exif()
            turned[0x0112] = 6  # the camera was held upright: to be turned clockwise
            half = np.zeros((32, 32, 3), dtype=np.uint8)
            half[:16] = 255
            Image.fromarray(half).save(tmp_path / part / name / "5-turned.png", exif=turned)
            (tmp_path / part / name / "notes.txt").write_text("no picture")
    dataset = load(f"folder:{tmp_path}")
    assert (dataset.name, dataset.classes) == (f"folder:{tmp_path}", ("a", "b"))
    assert dataset.train.labels.tolist() == [0] * 5 + [1] * 5
    wide, grey, clear, palette, turned = dataset.train.pixels[:5].permute(0, 2, 3, 1)
    # The middle square, but for its rim, into which the scaling takes some of the neighbours.
    assert (wide[:, 1:-1] == torch.tensor([10, 200, 30])).all()
    assert (grey == 77).all()
    assert (clear == torch.tensor([1, 2, 3])).all()
    assert (palette == 77).all()
    assert (turned[:, 16:] == 255).all()
    assert (turned[:, :16] == 0).all()


def test_a_part_that_save_to_disk_wrote_alone_is_the_train_part(made: Made, tmp_path: Path) -> None:
    dataset = load(f"folder:{made.disk(tmp_path / 'copy') / 'train'}")
    assert (len(dataset.train), len(dataset.test)) == (48, 12)
    assert dataset.classes == tuple(NAMES)


@pytest.mark.parametrize("below", ["", "train"])
def test_a_fifth_is_held_out_where_there_is_no_test_part(
    made: Made, tmp_path: Path, below: str
) -> None:
    folder = made.images(tmp_path, parts=("train",))
    first, again = (load(f"folder:{folder if below else folder / 'train'}") for _ in range(2))
    assert (len(first.train), len(first.test)) == (48, 12)
    assert set(torch.bincount(first.test.labels).tolist()) <= {1, 2}
    assert torch.equal(first.test.pixels, again.test.pixels)
    both = torch.cat([first.train.pixels, first.test.pixels]).flatten(1).numpy()
    expected = made.pixels["train"].transpose(0, 3, 1, 2).reshape(60, -1)
    assert {bytes(each) for each in both} == {bytes(each) for each in expected}
