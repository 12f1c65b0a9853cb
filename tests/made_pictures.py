"""Labelled pictures of noise, written in every format that data sets come in."""

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from fathom.experiments.data.hub import quiet

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PARTS = {"train": 6, "test": 2}


def noise(labels: list[int], *, seed: int, size: int = 32) -> np.ndarray:
    numbers = np.random.default_rng(seed).integers(0, 256, (len(labels), size, size, 3))
    return numbers.astype(np.uint8)


class Made:
    """Ten classes of random pictures, mixed, as CIFAR-10's are; written in every format."""

    def __init__(self, *, names: list[str] = NAMES, size: int = 32, each: int = 1) -> None:
        order = np.random.default_rng(0)
        self.names = names
        self.labels = {
            part: order.permutation(list(range(len(names))) * count * each).tolist()
            for part, count in PARTS.items()
        }
        self.pixels = {
            part: noise(labels, seed=index, size=size)
            for index, (part, labels) in enumerate(self.labels.items())
        }

    def rows(
        self, *, columns: tuple[str, str] = ("img", "label"), parts: tuple[str, ...] = tuple(PARTS)
    ) -> datasets.DatasetDict:
        picture, label = columns
        features = datasets.Features(
            {picture: datasets.Image(), label: datasets.ClassLabel(names=self.names)}
        )
        return datasets.DatasetDict(
            {
                part: datasets.Dataset.from_dict(
                    {
                        picture: [Image.fromarray(each) for each in self.pixels[part]],
                        label: self.labels[part],
                    },
                    features=features,
                )
                for part in parts
            }
        )

    def disk(self, folder: Path, **given: Any) -> Path:
        with quiet():
            self.rows(**given).save_to_disk(str(folder))
        return folder

    def parquet(self, folder: Path, **given: Any) -> Path:
        folder.mkdir()
        with quiet():
            for part, rows in self.rows(**given).items():
                for shard in range(2):
                    path = folder / f"{part}-{shard:05}-of-00002.parquet"
                    rows.shard(2, shard, contiguous=True).to_parquet(str(path))
        return folder

    def numbers(self, folder: Path) -> Path:
        """Parquet of another program: bytes and whole numbers."""
        folder.mkdir()
        for part, pixels in self.pixels.items():
            table = pyarrow.table(
                {
                    "image": [{"bytes": png(each), "path": None} for each in pixels],
                    "labels": self.labels[part],
                }
            )
            pyarrow.parquet.write_table(table, folder / f"{part}.parquet")
        return folder

    def images(self, folder: Path, *, parts: tuple[str, ...] = tuple(PARTS)) -> Path:
        for part in parts:
            for index, label in enumerate(self.labels[part]):
                path = folder / part / self.names[label] / f"{index:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(self.pixels[part][index]).save(path)
        return folder


def png(pixels: np.ndarray) -> bytes:
    into = io.BytesIO()
    Image.fromarray(pixels).save(into, "PNG")
    return into.getvalue()
