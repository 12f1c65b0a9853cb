"""One quiet line about the last snapshot, beside what the training itself prints."""

import math
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TextIO

from rich.console import Console

from fathom.progress.bottom import BOTTOM, NAME, has_bottom
from fathom.reading import AVERAGED_KINDS, Reading
from fathom.snapshot import Snapshot
from fathom.text import visible

# Statuses of readings from which nothing can be concluded.
_UNSURE = ("provisional", "coarse")


class Progress:
    """A sink that says the main numbers of the last snapshot in a line on standard error.

    In a terminal it is the bottom line, which stays while the rest scrolls, and is printed once at
    the end. In a notebook it is one line that is replaced. In a pipe, a file or a terminal's
    background it is a line a snapshot.
    """

    def __init__(self) -> None:
        """Show nothing yet."""
        self._averages: dict[str, float] = {}
        self._last: Sequence[str] = ()
        self._display: Any = None

    def write(self, snapshot: Snapshot) -> None:
        """Show a snapshot.

        Args:
            snapshot: What was measured.
        """
        parts, stream = self._parts(snapshot), sys.stderr
        if Console(stderr=True).is_jupyter:
            self._replace(NAME + "  ".join(parts))
        elif has_bottom(stream):
            self._last = parts
            BOTTOM.show(self, parts, stream)
        elif stream is not None:
            _print(NAME + "  ".join(parts), stream)

    def close(self) -> None:
        """Leave the last line, and the terminal as it was."""
        if self._last:
            BOTTOM.leave(self, self._last)
            self._last = ()

    def _parts(self, snapshot: Snapshot) -> list[str]:
        phase = snapshot.usual_phase
        average, before = snapshot.average_saturation(phase), self._averages.get(phase, math.nan)
        known = math.isfinite(average)
        said = f"average saturation {average:.3f}" if known else "no average saturation"
        if known:
            self._averages[phase] = average
            if math.isfinite(before):
                said += f" {average - before:+.3f}"
        if phase != "eval":
            said += f" in {phase}"
        parts = [f"step {snapshot.step}", said]
        parts += [f"{visible(name)} {value:.4g}" for name, value in snapshot.metrics.items()]
        judged = [each for each in snapshot.phase(phase).values() if _is_judged(each, snapshot)]
        if len(judged) > 1:
            lowest, *_, highest = sorted(judged, key=lambda reading: reading.saturation)
            parts += [f"lowest {_said_of(lowest)}", f"highest {_said_of(highest)}"]
        if snapshot.disabled:
            parts.append(f"{len(snapshot.disabled)} layers switched off")
        return parts

    def _replace(self, line: str) -> None:
        content = {"text/plain": line}
        if self._display is None:
            display = import_module("IPython.display").display
            self._display = display(content, raw=True, display_id=True)
        else:
            self._display.update(content, raw=True)


def _print(line: str, stream: TextIO) -> None:
    stream.write(f"{line}\n")
    stream.flush()


def _is_judged(reading: Reading, snapshot: Snapshot) -> bool:
    return (
        reading.layer.kind in AVERAGED_KINDS
        and reading.layer.name != snapshot.output_layer
        and reading.status not in _UNSURE
        and math.isfinite(reading.saturation)
    )


def _said_of(reading: Reading) -> str:
    return f"{visible(reading.layer.name) or '(model)'} {reading.saturation:.3f}"
