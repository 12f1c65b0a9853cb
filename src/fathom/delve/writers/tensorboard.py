"""Scalars for TensorBoard."""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from fathom.delve.writers.writer import AbstractWriter, as_float
from fathom.delve.writers.written import EVENTS
from fathom.extras import require


class TensorBoardWriter(AbstractWriter):
    """Writes scalars into a file of events in the folder, at their epochs."""

    def __init__(self, savepath: str | os.PathLike[str], **kwargs: Any):
        """Say where to write; needs the extra `tensorboard`.

        Args:
            savepath: The folder.
            **kwargs: Options of other writers.

        Raises:
            MissingExtraError: If tensorboard is not installed.
        """
        require("tensorboard", extra="tensorboard")
        module = require("torch.utils.tensorboard", extra="tensorboard")
        self.savepath = os.fspath(savepath)
        self._begin: Callable[..., Any] = module.SummaryWriter
        self._writer: Any = None
        self._start = 0
        self._epochs: dict[str, int] = {}

    def resume_from_saved_state(self, initial_epoch: int) -> None:
        """Go on at an epoch; TensorBoard hides what earlier files say of it and later ones.

        Args:
            initial_epoch: The epoch of the next values.
        """
        self._start = initial_epoch

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        """Write the next value of a name; what is no finite number is no point of a curve.

        Args:
            name: The tag.
            value: A number.
            **kwargs: Not used.
        """
        epoch = self._epochs.get(name, self._start)
        self._epochs[name] = epoch + 1
        number = as_float(value)
        if math.isfinite(number):
            if self._writer is None:
                self._writer = self._begin(
                    self.savepath, purge_step=self._start or None, filename_suffix=EVENTS
                )
            self._writer.add_scalar(name, number, epoch)

    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Write the next values of several names.

        Args:
            prefix: Goes before each tag, with a slash, if there is one.
            value_dict: Tags to numbers.
            **kwargs: Not used.
        """
        for name, value in value_dict.items():
            self.add_scalar(f"{prefix}/{name}" if prefix else name, value)

    def save(self) -> None:
        """Bring the events to the disk."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
