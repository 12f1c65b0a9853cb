"""How far an analysis is, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Shown:
    """A bar a task, or nothing."""

    def __init__(self, wanted: bool):
        """Begin without a bar.

        Args:
            wanted: Whether to show any.
        """
        # Not at the top: a training that wants no bar is not to wait for rich.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description:14}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not wanted,
        )

    @contextmanager
    def task(self, words: str, total: int | None) -> Iterator[Callable[[], None]]:
        """Show a bar.

        Args:
            words: What is done.
            total: How many parts it has; None where nobody knows.

        Yields:
            What to call after each part, in any thread.
        """
        task = self._bars.add_task(words, total=total)
        yield lambda: self._bars.advance(task)
        self._bars.update(task, total=self._bars.tasks[task].completed)

    def __enter__(self) -> Self:
        """Return itself."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bars as they are."""
        self._bars.stop()
