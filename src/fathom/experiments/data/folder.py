"""Pictures in a folder, in formats that Hugging Face `datasets` reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.errors import ArgumentError, DataNotFoundError, words_of
from fathom.experiments.data.hub import FORMATS, quiet
from fathom.extras import require

_PARTS = ("train", "test")
_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def parts(folder: Path) -> Mapping[str, Any]:
    """Return what a folder holds.

    One that `save_to_disk` wrote, of all parts, or of one that is then taken as `train`; one of
    train*.parquet and test*.parquet; or one of pictures, as train/CLASS/* and test/CLASS/*, or as
    CLASS/* alone, with classes in the order of their names. Pictures are listed here and only read
    by `datasets`, whose own "imagefolder" guesses parts from words in paths and takes brackets in
    them for patterns.

    Args:
        folder: Its path.

    Returns:
        A `datasets.Dataset` as `train`, and one as `test` if there is that part.

    Raises:
        ArgumentError: If it cannot be read.
        DataNotFoundError: If there is no such folder, or no data in it.
        MissingExtraError: If `datasets` is not installed.
    """
    if not folder.is_dir():
        raise DataNotFoundError(
            f"data: {folder} must be a folder, got {'a file' if folder.exists() else 'none'}. "
            f"Pass {FORMATS}."
        )
    with quiet() as datasets:
        try:
            if (folder / "dataset_dict.json").is_file():
                found: Mapping[str, Any] = datasets.load_from_disk(str(folder))
            elif (folder / "state.json").is_file():
                found = {"train": datasets.load_from_disk(str(folder))}
            else:
                found = _parquet(folder, datasets) or _pictures(folder, datasets)
        # JSON, Arrow, Parquet and the disk have many classes for what is wrong with a file.
        except Exception as error:
            raise ArgumentError(
                f"data: {folder} must be readable, got {' '.join(words_of(error).split())[:200]}."
            ) from error
    if "train" not in found:
        names = sorted(found) or sorted(path.name for path in folder.iterdir())[:5]
        raise DataNotFoundError(
            f"data: {folder} must have a part train, got {', '.join(names) or 'nothing'}. "
            f"Pass {FORMATS}."
        )
    return found


def _parquet(folder: Path, datasets: Any) -> dict[str, Any]:
    files = {part: sorted(folder.glob(f"{part}*.parquet")) for part in _PARTS}
    reader = require("pyarrow.parquet", extra="experiments")
    return {
        part: datasets.Dataset(datasets.table.InMemoryTable(reader.read_table(paths)))
        for part, paths in files.items()
        if paths
    }


def _pictures(folder: Path, datasets: Any) -> dict[str, Any]:
    found = {part: _classes(folder / part) for part in _PARTS if (folder / part).is_dir()}
    if not found:
        found = {"train": _classes(folder)}
    return {part: _rows(classes, datasets) for part, classes in found.items() if classes}


def _classes(folder: Path) -> dict[str, list[str]]:
    """Return the pictures of each class; a folder without any is none."""
    classes = {
        path.name: sorted(str(each) for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }
    return {name: files for name, files in classes.items() if files}


def _rows(classes: dict[str, list[str]], datasets: Any) -> Any:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(classes))}
    )
    return datasets.Dataset.from_dict(
        {
            "image": [path for files in classes.values() for path in files],
            "label": [label for label, files in enumerate(classes.values()) for _ in files],
        },
        features=features,
    )
