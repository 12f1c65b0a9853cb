"""Looks at a run again and again, and says what is to be seen; nothing of it raises."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from fathom.errors import FathomError, collected
from fathom.spectral.spectrum import Spectrum
from fathom.store.follow import Follower
from fathom.store.lock import is_written
from fathom.store.opening import runs_near
from fathom.store.timeline import Timeline
from fathom.views.top.history import History


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one look has found.

    Attributes:
        history: Of the run; None while there is none, or none that can be read.
        number: Which run this is, of those that have lain at the path one after the other.
        live: Whether a training writes it now.
        trouble: Why it cannot be read, or what of it cannot; empty where all is well.
        near: Where other runs are, while there is none here; empty where there are none.
    """

    history: History | None = None
    number: int = 0
    live: bool = False
    trouble: str = ""
    near: str = ""


# So many damaged records are told of one by one.
_TOLD = 5


class Watcher:
    """Follows the run at a path; all of it is for one thread at a time."""

    def __init__(self, path: Path):
        """Say where to look.

        Args:
            path: The run's folder, which need not be there yet.
        """
        # Steps can be gone through one by one up to so many, and every look is quick.
        self._follower = Follower(path, most=1000)
        self._path = path
        self._timeline: Timeline | None = None
        self._history: History | None = None
        self._number = 0
        self._near: str | None = None
        self._warned: list[str] = []

    def look(self) -> Sight:
        """Take in what was recorded since.

        Returns:
            What there is.
        """
        trouble, fresh = "", deque[str]()
        try:
            with collected(fresh):
                self._take_in()
        except FathomError as error:
            trouble = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a file holds, the view goes on
            trouble = f"{self._path} cannot be read. {type(error).__name__}: {error}"
        self._warned += fresh
        if not trouble and self._history is not None:
            trouble = " ".join(self._warned[:_TOLD])
            if (more := len(self._warned) - _TOLD) > 0:
                trouble += f" And {more} more."
        if self._follower.timeline is None and self._near is None:
            self._near = runs_near(self._path).strip()
        return Sight(
            history=self._history,
            number=self._number,
            live=self._history is not None and is_written(self._path),
            trouble=trouble,
            near=self._near or "",
        )

    def spectrum(self, layer: str, *, step: int, phase: str) -> Spectrum | None:
        """Return the eigenvalues of one layer.

        Args:
            layer: Its name.
            step: The step.
            phase: `train` or `eval`.

        Returns:
            The spectrum; None where there is none.
        """
        timeline = self._follower.timeline
        if timeline is None:
            return None
        try:
            return timeline.run.spectrum(layer, step=step, phase=phase)
        except FathomError:
            return None

    def close(self) -> None:
        """Close the run."""
        self._follower.close()

    def _take_in(self) -> None:
        changed = self._follower.look()
        timeline = self._follower.timeline
        if timeline is not self._timeline:
            self._warned.clear()
            self._number += timeline is not None
            self._near = None
            self._timeline, self._history = timeline, None
        if timeline is not None and (changed or self._history is None):
            self._history = History.of(timeline)
