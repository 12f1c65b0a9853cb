"""Follow a run that need not be there yet, may grow, and may be replaced by another."""

from collections.abc import Callable
from pathlib import Path

from fathom.errors import RunNotFoundError
from fathom.store.schema import DATABASE
from fathom.store.stored import StoredRun
from fathom.store.timeline import Timeline


class Follower:
    """The timeline of whatever run lies at a path; `look` brings it up to date."""

    def __init__(self, path: Path, *, most: int | Callable[[int], int] = 2000):
        """Say where to look.

        Args:
            path: The run's folder.
            most: As for `Timeline`, or what gives it from how many layers the run has.
        """
        self.path = path
        self.timeline: Timeline | None = None
        """None while there is no run."""
        self._most = most
        self._held = 0
        self._place: tuple[int, int] | None = None

    def look(self) -> bool:
        """Take in what was recorded since.

        Returns:
            Whether anything has changed.

        Raises:
            RunError: If the run cannot be read.
        """
        place = self._found()
        if place != self._place:
            self.close()
            if place is None:
                return True
            try:
                run = StoredRun(self.path)
            except RunNotFoundError:  # begun just now, and still empty
                return False
            try:
                self._read(run)
            except BaseException:
                run.close()
                raise
            self._place = place
            return True
        if self.timeline is None or not self.timeline.refresh():
            return False
        if self._wanted(len(self.timeline.facts)) != self._held:
            self._read(self.timeline.run)
        return True

    def close(self) -> None:
        """Close the run; the next look opens it again."""
        if self.timeline is not None:
            self.timeline.run.close()
        self.timeline = self._place = None

    def _read(self, run: StoredRun) -> None:
        self._held = self._wanted(len(run.layers))
        self.timeline = Timeline(run, most=self._held)

    def _wanted(self, layers: int) -> int:
        return self._most if isinstance(self._most, int) else self._most(layers)

    def _found(self) -> tuple[int, int] | None:
        try:
            found = (self.path / DATABASE).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
