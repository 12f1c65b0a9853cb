"""A table from the folders of `NPYWriter`, with another threshold if wanted."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fathom.delve.writers import STATMAP
from fathom.delve.writers.written import epochs_in
from fathom.errors import ArgumentError, RunNotFoundError, choose, warn
from fathom.extras import require
from fathom.spectral.statistics import intrinsic_dimension
from fathom.spectral.vectors import check_threshold

_WHERE = "reconstruct_csv_from_npy_data"
_COVARIANCE = STATMAP["cov"]


def reconstruct_csv_from_npy_data(
    npywriter_out_path: str | os.PathLike[str],
    savefile: str | os.PathLike[str] | None = None,
    thresh: float | None = None,
    stats: Sequence[str] = ("lsat", "idim"),
) -> Any:
    """Make a table of the files that `NPYWriter` wrote, or Delve's; needs the extra `pandas`.

    Args:
        npywriter_out_path: The folder above those of the names.
        savefile: Where to write the table, with its ending; None to write none.
        thresh: Fraction of the variance, in (0, 1], at which `stats` are computed anew from the
            covariance matrices, by fathom's rule: the smallest k that reaches it. None to take the
            numbers as they were written, and Delve's are k - 1.
        stats: `lsat` and `idim`, or one of them.

    Returns:
        A pandas DataFrame: a row an epoch, a column a folder, in the order of their names; the
        matrices themselves have none.

    Raises:
        ArgumentError: If an argument is outside its rule, or a file holds no plain numbers:
            pickles are never read.
        RunNotFoundError: If there are no such files, or no covariance matrices for `thresh`.
        MissingExtraError: If pandas is not installed.
    """
    pandas = require("pandas", extra="pandas")
    stats = ["lsat" if stat == "sat" else stat for stat in stats]
    for stat in stats:
        choose(stat, ("lsat", "idim"), where=f"{_WHERE}: stats")
    if thresh is not None:
        check_threshold(thresh, where=f"{_WHERE}: thresh")
    folder = Path(npywriter_out_path)
    found = {
        path.name: epochs
        for path in folder.rglob("*")
        if path.is_dir() and (epochs := epochs_in(path))
    }
    if not found:
        raise RunNotFoundError(
            f"{_WHERE}: npywriter_out_path must hold files such as name/name_epoch0.npy, got "
            f"{folder} without any. Pass the savefile of a tracker with save_to='npy'."
        )
    columns = {
        name: {epoch: _value(path) for epoch, path in epochs.items()}
        for name, epochs in found.items()
        if _COVARIANCE not in name
    }
    if thresh is None:
        for stat in stats:
            if not any(STATMAP[stat] in name for name in columns):
                warn(f"fathom.delve: {folder} holds no {STATMAP[stat]}, so the table has none")
    else:
        columns = _recomputed(columns, found, thresh, stats, folder)
    columns = {name: columns[name] for name in sorted(columns, key=_natural)}
    last = max(epoch for column in columns.values() for epoch in column)
    table = pandas.DataFrame(
        {
            name: [column.get(epoch, math.nan) for epoch in range(last + 1)]
            for name, column in columns.items()
        }
    )
    if savefile is not None:
        table.to_csv(savefile, sep=";")
    return table


def _recomputed(
    columns: dict[str, dict[int, Any]],
    found: dict[str, dict[int, Path]],
    thresh: float,
    stats: Sequence[str],
    folder: Path,
) -> dict[str, dict[int, Any]]:
    matrices = {name: epochs for name, epochs in found.items() if _COVARIANCE in name}
    if not matrices:
        raise RunNotFoundError(
            f"{_WHERE}: thresh must come with covariance matrices, got {folder} without any. "
            "Track with stats=['cov', ...] and save_to='npy', or pass thresh=None."
        )
    old = tuple(STATMAP[stat] for stat in stats)
    kept = {name: each for name, each in columns.items() if not any(each in name for each in old)}
    for name, epochs in matrices.items():
        dimensions = {epoch: _dimension(path, thresh) for epoch, path in epochs.items()}
        for stat in stats:
            kept[name.replace(_COVARIANCE, STATMAP[stat])] = {
                epoch: dimension / width if stat == "lsat" else dimension
                for epoch, (dimension, width) in dimensions.items()
            }
    return kept


def _dimension(path: Path, thresh: float) -> tuple[float, int]:
    """Return the intrinsic dimension and the width of a covariance matrix."""
    matrix = np.asarray(_loaded(path), dtype=np.float64)
    # A layer that was not seen in an epoch has nan in place of a matrix.
    if matrix.ndim == 0:
        return math.nan, 1
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ArgumentError(
            f"{_WHERE}: {path} must hold a square matrix, got shape {matrix.shape}. Remove it."
        )
    eigenvalues = torch.linalg.eigvalsh(torch.from_numpy(matrix)).flip(0).clamp(min=0)
    return intrinsic_dimension(eigenvalues, threshold=thresh), len(matrix)


def _value(path: Path) -> Any:
    value = _loaded(path)
    if value.size != 1:
        raise ArgumentError(
            f"{_WHERE}: {path} must hold one number, got shape {value.shape}. Remove it."
        )
    return value.item()


def _loaded(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    except (ValueError, EOFError, OSError) as error:
        raise ArgumentError(
            f"{_WHERE}: {path} must hold plain numbers, got something else: {error} Pickles are "
            "never read; remove the file."
        ) from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which 2 comes before 10."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]
