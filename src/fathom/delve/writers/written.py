"""What the files of a tracker are called, and which of them it wrote."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from fathom.delve.writers.writer import STATMAP
from fathom.reading import PHASES

RUN = "fathom"
"""The folder of the run, inside of that of the tracker."""

EVENTS = ".fathom-delve"
"""How the names of TensorBoard's files end: a training may write others into the same folder."""

_MARK = "tracker.txt"
_SENTENCE = (
    "The run of a fathom.delve.SaturationTracker: the next one at this savefile with "
    "initial_epoch=0 removes it, and the files that are listed here.\n"
)
_TABLES = (".csv", ".zip")
_PICTURE = re.compile(rf"_({'|'.join(STATMAP)})_({'|'.join(PHASES)})_epoch_(\d+)\.png")


def picture_name(stat: str, phase: str, epoch: int) -> str:
    """Return how the name of a picture ends, after the savefile.

    Args:
        stat: Delve's short name.
        phase: One of `PHASES`.
        epoch: That is drawn.
    """
    return f"_{stat}_{phase}_epoch_{epoch}.png"


def epochs_in(folder: Path) -> dict[int, Path]:
    """Return the files of one name.

    Args:
        folder: Such as `_train-saturation_0`, which `NPYWriter` or Delve wrote.

    Returns:
        By epoch, ascending.
    """
    pattern = re.compile(re.escape(folder.name) + r"_epoch(\d+)\.npy")
    found = {}
    for path in folder.iterdir():
        if match := pattern.fullmatch(path.name):
            found[int(match[1])] = path
    return dict(sorted(found.items()))


class Written:
    """The list of what was written at a savefile; it lies beside the run, if a tracker began it.

    A next tracker removes what is listed and has such a name, never another file of the user's.
    """

    def __init__(self, savefile: str | os.PathLike[str]):
        """Say where.

        Args:
            savefile: The tracker's folder; tables and pictures lie beside it.
        """
        self._savefile = os.fspath(savefile)
        self._list = Path(savefile, RUN, _MARK)
        self._noted: set[str] = set()

    @property
    def begun(self) -> bool:
        """Whether the place is a tracker's."""
        return self._list.exists()

    def begin(self) -> None:
        """Make the place a tracker's, with an empty list."""
        self._list.parent.mkdir(parents=True, exist_ok=True)
        self._list.write_text(_SENTENCE, encoding="utf-8")

    def note(self, name: str) -> None:
        """List something that is written, once; nothing where no tracker has begun.

        Args:
            name: What comes after the savefile: `.csv`, or `/loss` for the folder of a number.
        """
        if name not in self._noted and self.begun:
            self._noted.add(name)
            with self._list.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(name)}\n")

    def remove_from(self, epoch: int) -> None:
        """Remove what is listed of an epoch and of later ones; at 0 the tables, too.

        Args:
            epoch: The first that is to go.
        """
        for name in self._listed():
            path = Path(f"{self._savefile}{name}")
            if path.is_symlink():
                continue
            picture = _PICTURE.fullmatch(name)
            if (picture and int(picture[3]) >= epoch) or (name in _TABLES and not epoch):
                path.unlink(missing_ok=True)
            elif name == f"/{path.name}" and path.is_dir():
                for number, file in epochs_in(path).items():
                    if number >= epoch:
                        file.unlink()
                with suppress(OSError):
                    path.rmdir()
        if not epoch:
            for file in Path(self._savefile).glob(f"events.out.tfevents.*{EVENTS}"):
                file.unlink()

    def _listed(self) -> list[str]:
        if not self.begun:
            return []
        names = []
        for line in self._list.read_text(encoding="utf-8").splitlines()[1:]:
            # The last line of a process that was killed may be cut.
            with suppress(ValueError):
                names.append(json.loads(line))
        return [name for name in names if isinstance(name, str)]
