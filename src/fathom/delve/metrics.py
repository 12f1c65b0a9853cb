"""The user's own numbers, as the run has them."""

import math
from typing import Any

from fathom.delve.writers.writer import as_float, is_nan, plain
from fathom.errors import warn

# A snapshot has arguments of these names.
_TAKEN = ("self", "step")


class Metrics:
    """Counts the values of each name: the n-th is that of epoch n, as it is in the tables."""

    def __init__(self, start: int, *, tells: bool):
        """Begin without values.

        Args:
            start: The first epoch.
            tells: Whether there is a run that could miss one.
        """
        self._epoch = start
        self._start = start
        self._tells = tells
        self._counts: dict[str, int] = {}
        self._values: dict[int, dict[str, float]] = {}

    def add(self, name: str, value: Any) -> None:
        """Take the next value of a name, unless it is no number.

        Args:
            name: The metric.
            value: The number; it waits for its epoch, where it comes before.
        """
        epoch = self._start + self._counts.get(name, 0)
        self._counts[name] = self._counts.get(name, 0) + 1
        number = as_float(value)
        if name in _TAKEN or (math.isnan(number) and not is_nan(plain(value))):
            return
        if epoch >= self._epoch:
            self._values.setdefault(epoch, {})[name] = number
        elif self._tells:
            self._tells = False
            warn(
                f"fathom.delve: {name!r} of epoch {epoch} came after the add_saturations() of that "
                "epoch, so the run beside the files has no such numbers; the files have them. Add "
                "a number once every epoch, and add_saturations() last."
            )

    def present(self) -> dict[str, float]:
        """Return those of this epoch."""
        return self._values.get(self._epoch, {})

    def end(self) -> None:
        """Go on to the next epoch."""
        self._values.pop(self._epoch, None)
        self._epoch += 1
