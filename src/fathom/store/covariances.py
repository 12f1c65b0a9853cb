"""Covariance matrices of a run: one safetensors file a step, written whole or not at all."""

import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fathom.errors import DamagedRecordError, RunNotFoundError
from fathom.spectral.moments import Moments

FOLDER = "covariances"
_CHUNK = 2**20


def write_covariances(
    folder: Path, step: int, moments: Mapping[tuple[str, str], Moments]
) -> dict[str, object]:
    """Write the covariances and means of one step.

    Args:
        folder: The run's folder.
        step: The step.
        moments: By phase and layer.

    Returns:
        What the snapshot's record keeps: the file's name and checksum, and the rows that were read
        of each reading.

    Raises:
        OSError: If it cannot be written; nothing is left behind.
    """
    path = folder / FOLDER / f"{step:08d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    tensors = {}
    for (phase, layer), measured in moments.items():
        tensors[f"{phase}/{layer}/covariance"] = measured.covariance().cpu()
        tensors[f"{phase}/{layer}/mean"] = measured.mean.cpu()
    try:
        save_file(tensors, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        checksum = _checksum(unfinished)
        unfinished.replace(path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    read = {f"{phase}/{layer}": int(each.read) for (phase, layer), each in moments.items()}
    return {"file": path.name, "checksum": checksum, "read": read}


def read_covariances(
    folder: Path, kept: Mapping[str, object], phase: str, layers: Sequence[str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Read the covariances and means of some readings; the file is checked once.

    Args:
        folder: The run's folder.
        kept: What `write_covariances` returned.
        phase: The phase.
        layers: The layers' names.

    Returns:
        By layer: (d, d) covariance with divisor n and (d,) mean, float64.

    Raises:
        DamagedRecordError: If the file is not as it was written.
        RunNotFoundError: If it is gone, or has no such layer.
    """
    path = folder / FOLDER / str(kept["file"])
    if not path.is_file():
        raise RunNotFoundError(f"run: {path} must be there, got none. It was removed.")
    if _checksum(path) != kept["checksum"]:
        raise DamagedRecordError(
            f"run: {path} must match its checksum, got damaged bytes. Spectra are kept elsewhere "
            "and are still readable."
        )
    with safe_open(path, framework="pt") as file:
        there, found = set(file.keys()), {}
        for layer in layers:
            key = f"{phase}/{layer}"
            if f"{key}/covariance" not in there:
                raise RunNotFoundError(
                    f"run: {path.name} must hold {key}, got none of that name. Layers wider than "
                    "max_width are sketched, and have none."
                )
            found[layer] = file.get_tensor(f"{key}/covariance"), file.get_tensor(f"{key}/mean")
    return found


def remove_covariances(folder: Path, *, from_step: int) -> None:
    """Remove the files of a step and all later ones.

    Args:
        folder: The run's folder.
        from_step: The first step to remove.
    """
    for path in (folder / FOLDER).glob("*.safetensors"):
        if path.stem.lstrip("-").isdigit() and int(path.stem) >= from_step:
            path.unlink()


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed training had begun to write.

    Args:
        folder: The run's folder, written by nobody.
    """
    for pattern in ("*.unfinished", ".tmp*"):
        for path in (folder / FOLDER).glob(pattern):
            if path.is_file():
                path.unlink()


def remove_kept(folder: Path) -> None:
    """Remove all covariances of a run, and their folder if nothing else is in it.

    Args:
        folder: The run's folder, written by nobody.
    """
    remove_unfinished(folder)
    for path in (folder / FOLDER).glob("*.safetensors"):
        if path.stem.lstrip("-").isdigit():
            path.unlink()
    with suppress(OSError):
        (folder / FOLDER).rmdir()


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
