"""A file of NumPy's an epoch, in a folder for each name."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from fathom.delve.writers.writer import AbstractWriter, as_float, plain
from fathom.delve.writers.written import Written, epochs_in
from fathom.views.files import replaced


class NPYWriter(AbstractWriter):
    """Writes `<savepath>/<name>/<name>_epoch<n>.npy`, matrices too."""

    def __init__(self, savepath: str | os.PathLike[str], zip: bool = False, **kwargs: Any):
        """Say where to write.

        Args:
            savepath: The folder above those of the names.
            zip: Pack all files into `<savepath>.zip` too, at every `save`.
            **kwargs: Options of other writers.
        """
        self.savepath = os.fspath(savepath)
        self.zip = zip
        self._written = Written(savepath)
        self._start = 0
        self._epochs: dict[str, int] = {}

    def resume_from_saved_state(self, initial_epoch: int) -> None:
        """Go on at an epoch; the names of the files tell, Delve's pickle is never read.

        Args:
            initial_epoch: The epoch of the next files.
        """
        self._start = initial_epoch

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        """Write the next value of a name.

        Args:
            name: Of the folder.
            value: A number or a matrix.
            **kwargs: Not used.
        """
        name = name.replace("/", "-")
        folder = Path(self.savepath, name)
        if name not in self._epochs:
            folder.mkdir(parents=True, exist_ok=True)
            self._written.note(f"/{name}")
            self._epochs[name] = self._start
            for epoch, path in epochs_in(folder).items():
                if epoch >= self._start:
                    path.unlink()
        array = np.asarray(plain(value))
        # What only a pickle could hold is none that anybody should read.
        if array.dtype.hasobject:
            array = np.asarray(as_float(value))
        epoch = self._epochs[name]
        self._epochs[name] += 1
        with (
            replaced(folder / f"{name}_epoch{epoch}.npy") as unfinished,
            unfinished.open("wb") as file,
        ):
            np.save(file, array, allow_pickle=False)

    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Write the next values of several names.

        Args:
            prefix: Goes before each name, with an underscore.
            value_dict: Names to values.
            **kwargs: Not used.
        """
        for name, value in value_dict.items():
            self.add_scalar(f"{prefix}_{name}", value)

    def save(self) -> None:
        """Pack the files, if that was asked for."""
        if self.zip:
            self._written.note(".zip")
            with (
                replaced(Path(f"{self.savepath}.zip")) as unfinished,
                ZipFile(unfinished, "w", ZIP_DEFLATED) as archive,
            ):
                for path in sorted(Path(self.savepath).rglob("*.npy")):
                    archive.write(path, path.relative_to(self.savepath))

    def close(self) -> None:
        """Do nothing: every file is written when it comes."""
