"""The table, and pictures of its last row."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fathom.delve.writers.csv import CSVWriter
from fathom.delve.writers.writer import STATMAP, as_float
from fathom.delve.writers.written import picture_name
from fathom.errors import warn
from fathom.extras import require
from fathom.reading import PHASES

_DRAWN = {
    "lsat": "saturation",
    "idim": "intrinsic_dimension",
    "det": "determinant",
    "trc": "total_variance",
    "dtrc": "diagonal_trace",
}


class CSVandPlottingWriter(CSVWriter):
    """Writes the table and, at every `save`, `<savepath>_<stat>_<phase>_epoch_<n>.png` of each."""

    def __init__(
        self,
        savepath: str | os.PathLike[str],
        plot_manipulation_func: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ):
        """Say where to write; needs the extra `plots`.

        Args:
            savepath: The table, without its ending.
            plot_manipulation_func: Called with the axes of each picture before it is saved.
            **kwargs: `primary_metric`, a column whose number stands in the title, `figsize` in
                inches and `fontsize`; and options of other writers.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        super().__init__(savepath)
        require("matplotlib", extra="plots")
        self._change = plot_manipulation_func
        self._metric: str | None = kwargs.get("primary_metric")
        self._size: tuple[float, float] | None = kwargs.get("figsize")
        self._font: float | None = kwargs.get("fontsize")
        self._draws = True

    def save(self) -> None:
        """Write the table, and draw its last row; after a picture that fails the table alone."""
        super().save()
        if not self._draws:
            return
        try:
            self._draw()
        except Exception as error:  # noqa: BLE001 - it may be the user's plot_manipulation_func
            self._draws = False
            warn(
                "fathom.delve: a picture could not be drawn, so no more are; the table goes on. "
                f"{type(error).__name__}: {error}"
            )

    def _draw(self) -> None:
        from fathom.delve.writers.picture import draw

        last = max(map(len, self.value_dict.values()), default=0) - 1
        for short, statistic in _DRAWN.items():
            for phase in PHASES:
                start = f"{phase}-{STATMAP[short]}_"
                values = {
                    name.removeprefix(start): _at(column, last)
                    for name, column in self.value_dict.items()
                    if name.startswith(start)
                }
                if not any(map(math.isfinite, values.values())):
                    continue
                metric = self.value_dict.get(self._metric, []) if self._metric else []
                number = f"{self._metric} {_at(metric, last):.4g}" if metric else ""
                picture = picture_name(short, phase, last)
                self._written.note(picture)
                draw(
                    Path(f"{self.savepath}{picture}"),
                    values,
                    statistic=statistic,
                    title=(Path(self.savepath).name, f"epoch {last}", phase, number),
                    size=self._size,
                    font=self._font,
                    change=self._change,
                )


def _at(column: list[Any], epoch: int) -> float:
    return as_float(column[epoch]) if epoch < len(column) else math.nan
