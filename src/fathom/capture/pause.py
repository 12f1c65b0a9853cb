"""A pause of the watching, for a `with` block."""

from typing import Protocol


class _Watching(Protocol):
    """What can be paused.

    Attributes:
        active: Whether what is seen counts.
    """

    active: bool


class Pause:
    """Pauses at once; resumes when its `with` block ends, if it was not paused before."""

    def __init__(self, watching: _Watching):
        """Pause.

        Args:
            watching: What is paused.
        """
        self._watching = watching
        self._was_active = watching.active
        watching.active = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        if self._was_active:
            self._watching.active = True
