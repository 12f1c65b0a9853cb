"""TensorBoard: scalars by layer, spectra as histograms, the layer plot as an image."""

import os
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fathom.extras import is_there, require
from fathom.reading import PHASES, Reading
from fathom.sinks.names import STATISTICS, checked, numbers_of
from fathom.snapshot import Snapshot

# A picture takes 0.3 s of processor time, of 60 layers 0.6 s, which the training shares.
_PAUSE = 10.0


class TensorBoard:
    """Writes events that TensorBoard shows; needs the extra `tensorboard`.

    Pictures are drawn of the first snapshot and of the last, and between them at most every 10 s.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        statistics: Sequence[str] = STATISTICS,
        spectra: bool = True,
        image: bool = True,
    ):
        """Name the folder; a file of events is begun at the first snapshot.

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
        self._make: Any = require("torch.utils.tensorboard", extra="tensorboard").SummaryWriter
        self._log_dir = os.fspath(log_dir)
        self._writer: Any = None
        self._spectra = spectra
        self._draws = image and is_there("matplotlib")
        self._drawn_at: float | None = None
        self._undrawn: Snapshot | None = None

    def write(self, snapshot: Snapshot) -> None:
        """Write the events of a snapshot, and bring them to the disk.

        Args:
            snapshot: What was measured.
        """
        if self._writer is None:
            self._writer = self._make(self._log_dir)
        for name, value in numbers_of(snapshot, statistics=self._statistics, metrics=True).items():
            self._writer.add_scalar(name, value, snapshot.step)
        for phase in PHASES:
            for name, reading in snapshot.phase(phase).items():
                if self._spectra and (values := _logarithms(reading)).size:
                    tag = f"fathom/{phase}/log10_eigenvalues/{name or '(model)'}"
                    self._writer.add_histogram(tag, values, snapshot.step)
        if self._draws:
            self._undrawn = snapshot
            if self._drawn_at is None or time.monotonic() - self._drawn_at >= _PAUSE:
                self._draw()
        self._writer.flush()

    def close(self) -> None:
        """Draw what is left, and close the file."""
        if self._writer is not None:
            self._draw()
            self._writer.close()
            self._writer = None

    def _draw(self) -> None:
        snapshot, self._undrawn = self._undrawn, None
        if snapshot is None:
            return
        for phase in PHASES:
            if snapshot.phase(phase):
                self._writer.add_image(
                    f"fathom/{phase}/layers",
                    _drawn(snapshot, phase),
                    snapshot.step,
                    dataformats="HWC",
                )
        self._drawn_at = time.monotonic()


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
