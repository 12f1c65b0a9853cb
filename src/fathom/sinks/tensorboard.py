"""TensorBoard: scalars by layer, spectra as histograms, the layer plot as an image."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.extras import is_there, require
from fathom.reading import PHASES, Reading
from fathom.sinks.names import STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot


class TensorBoard:
    """Writes events that TensorBoard shows; needs the extra `tensorboard`."""

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        statistics: Sequence[str] = STATISTICS,
        spectra: bool = True,
        image: bool = True,
    ):
        """Begin a file of events.

        Args:
            log_dir: The folder that TensorBoard is given, or one inside it.
            statistics: Of each layer, some of `fathom.STATISTICS`.
            spectra: Write the common logarithm of the eigenvalues of each layer as a histogram.
            image: Draw saturation by layer, where the extra `plots` is installed.

        Raises:
            ArgumentError: If a statistic is none.
            MissingExtraError: If tensorboard is not installed.
        """
        self._statistics = checked(statistics, where="TensorBoard")
        require("tensorboard", extra="tensorboard")
        self._writer: Any = require("torch.utils.tensorboard", extra="tensorboard").SummaryWriter(
            os.fspath(log_dir)
        )
        self._spectra = spectra
        self._draws = image and is_there("matplotlib")

    def write(self, snapshot: Snapshot) -> None:
        """Write the events of a snapshot, and bring them to the disk.

        Args:
            snapshot: What was measured.
        """
        for name, value in numbers_of(snapshot, statistics=self._statistics, metrics=True).items():
            self._writer.add_scalar(name, value, snapshot.step)
        for phase in PHASES:
            for name, reading in snapshot.phase(phase).items():
                if self._spectra and (values := _logarithms(reading)).size:
                    tag = f"fathom/{phase}/log10_eigenvalues/{name or '(model)'}"
                    self._writer.add_histogram(tag, values, snapshot.step)
            if self._draws and snapshot.phase(phase):
                image = _drawn(snapshot, phase)
                self._writer.add_image(
                    f"fathom/{phase}/layers", image, snapshot.step, dataformats="HWC"
                )
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def _logarithms(reading: Reading) -> NDArray[np.float64]:
    values = reading.eigenvalues.numpy()
    return np.asarray(np.log10(values[values > 0]))


def _drawn(snapshot: Snapshot, phase: str) -> NDArray[np.uint8]:
    """Return (height, width, 3) pixels of the plot of all layers."""
    draw_snapshot = import_module("fathom.views.plots.layers").draw_snapshot
    canvas = import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(
        draw_snapshot(snapshot, phase=phase).get_figure()
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
