from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from fathom.errors import ArgumentError, DataNotFoundError
from fathom.experiments.data.load import load
from made_pictures import NAMES, PARTS, Made, png


def damaged(folder: Path, pattern: str) -> Path:
    path = next(iter(sorted(folder.rglob(pattern))))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder


def table(folder: Path, **columns: list[Any]) -> Path:
    folder.mkdir()
    for part in PARTS:
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"{part}.parquet")
    return folder


PNG = {"bytes": png(np.zeros((32, 32, 3), dtype=np.uint8)), "path": None}
DEEP = {"bytes": png(np.zeros((32, 32), dtype=np.uint16)), "path": None}
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no test part": (
        lambda folder: Made().disk(folder, parts=("train",)),
        "cifar10: .* must have the parts train and test, got train",
    ),
    "nine classes": (
        lambda folder: Made(names=NAMES[:9]).disk(folder),
        "cifar10: classes must be airplane, .*, truck, got airplane, .*, ship.* folder:PATH",
    ),
    "other names": (
        lambda folder: Made(names=[*NAMES[:9], "lorry"]).images(folder),
        "cifar10: classes must be airplane, .*, got .*, lorry",
    ),
    "another size": (
        lambda folder: Made(size=16).parquet(folder),
        "cifar10: train: picture 0 must be .* of 32×32, got 16×16",
    ),
    "a damaged picture": (
        lambda folder: damaged(Made().images(folder), "train/*/*.png"),
        "cifar10: train: picture .*/airplane/.*png must be readable.* got ",
    ),
    "a damaged table": (
        lambda folder: damaged(Made().parquet(folder), "train*.parquet"),
        "data: .* must be readable, got ",
    ),
    "a damaged disk": (
        lambda folder: damaged(Made().disk(folder), "dataset_dict.json"),
        "data: .* must be readable, got ",
    ),
    "no column of pictures": (
        lambda folder: table(folder, photo=[PNG], label=[0]),
        "cifar10: train: a column must be img or image, got photo, label",
    ),
    "no column of labels": (
        lambda folder: table(folder, img=[PNG], fine=[0]),
        "cifar10: train: a column must be label or labels, got img, fine",
    ),
    "labels that are words": (
        lambda folder: table(folder, img=[PNG], label=["cat"]),
        "cifar10: train: label must be whole numbers from 0, got 'cat'",
    ),
    "labels that are hidden": (
        lambda folder: table(folder, img=[PNG, PNG], label=[0, -1]),
        "cifar10: train: label must be whole numbers from 0, got -1",
    ),
    "no row": (
        lambda folder: table(folder, img=[], label=[]),
        "cifar10: train: label must be whole numbers from 0, got 'no row'",
    ),
    "one class": (
        lambda folder: table(folder, img=[PNG, PNG], label=[0, 0]),
        "cifar10: train must have pictures of each of 2 or more classes, 0, got those of 0",
    ),
    "a class without pictures": (
        lambda folder: table(folder, img=[PNG, PNG], label=[0, 2]),
        "cifar10: train must have pictures of each .*, 0, 1, 2, got those of 0, 2",
    ),
    "sixteen bits": (
        lambda folder: table(folder, img=[DEEP, DEEP], label=[0, 1]),
        "cifar10: train: picture 0 must be .*, with 8 bits a channel, of 32×32, got mode I",
    ),
    "a picture that is not there": (
        lambda folder: table(folder, img=[PNG, None], label=[0, 1]),
        "cifar10: train: picture 1 must be readable",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_copy_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    write, message = REFUSED[name]
    with pytest.raises(ArgumentError, match="^" + message) as raised:
        load("cifar10", folder=write(tmp_path / "copy"))
    assert "\n" not in str(raised.value)


def test_parts_with_other_classes_are_refused(tmp_path: Path) -> None:
    Made(names=["a", "b"]).images(tmp_path, parts=("train",))
    Made(names=["a", "c"]).images(tmp_path, parts=("test",))
    with pytest.raises(ArgumentError, match="test must have the classes of train, a, b, got a, c"):
        load(f"folder:{tmp_path}")


def test_a_folder_that_is_none_or_empty_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    Made().images(tmp_path / "half", parts=("test",))
    for name, message in {
        "none": "must be a folder, got none. Pass .*save_to_disk.*parquet.*train/CLASS",
        "file": "must be a folder, got a file. Pass ",
        "empty": "must have a part train, got nothing. Pass ",
        "half": "must have a part train, got test. Pass ",
    }.items():
        with pytest.raises(DataNotFoundError, match=f"^data: .*{name} {message}"):
            load("cat-vs-dog", folder=tmp_path / name)
        with pytest.raises(DataNotFoundError, match=f"^data: .*{name} {message}"):
            load(f"folder:{tmp_path / name}")
