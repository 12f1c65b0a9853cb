"""Several writers as one, of which one that fails is switched off."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fathom.delve.writers.writer import AbstractWriter
from fathom.errors import FathomError, warn


class CompositWriter(AbstractWriter):
    """Hands on to each of its writers; a dead one never ends the training."""

    def __init__(self, writers: Sequence[AbstractWriter]):
        """Take the writers.

        Args:
            writers: Each with the methods of `AbstractWriter`.
        """
        self.writers = list(writers)

    @property
    def columns(self) -> set[str]:
        """The columns that the tables among them have so far."""
        return {name for writer in self.writers for name in getattr(writer, "value_dict", ())}

    def resume_from_saved_state(self, initial_epoch: int) -> None:
        """Let each go on with what an earlier training wrote.

        Args:
            initial_epoch: The epoch of the next values.

        Raises:
            FathomError: If what is there is none of the writer's.
        """

        def resume(writer: AbstractWriter) -> None:
            try:
                writer.resume_from_saved_state(initial_epoch)
            except NotImplementedError:
                warn(
                    f"fathom.delve: {type(writer).__name__} cannot go on with what it wrote "
                    "before, and may write over it"
                )

        self._each(resume, passing=FathomError)

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        """Hand on a number.

        Args:
            name: Of the number.
            value: The number.
            **kwargs: For the writers.
        """
        self._each(lambda writer: writer.add_scalar(name, value, **kwargs))

    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Hand on several numbers.

        Args:
            prefix: Goes before the names, where a writer has prefixes.
            value_dict: Names to values.
            **kwargs: For the writers.
        """
        self._each(lambda writer: writer.add_scalars(prefix, value_dict, **kwargs))

    def call(self, method: str, *arguments: Any, **options: Any) -> None:
        """Call a further method of those writers that have it.

        Args:
            method: Its name.
            *arguments: As they came.
            **options: As they came.
        """
        self._each(lambda writer: getattr(writer, method, _nothing)(*arguments, **options))

    def save(self) -> None:
        """Let each bring to the disk what was added."""
        self._each(lambda writer: writer.save())

    def close(self) -> None:
        """Close each."""
        self._each(lambda writer: writer.close())

    def _each(
        self, does: Callable[[Any], None], *, passing: type[Exception] | tuple[()] = ()
    ) -> None:
        for writer in self.writers:
            try:
                does(writer)
            except passing:
                raise
            except Exception as error:  # noqa: BLE001 - a dead writer may not end the training
                # One of the user's own may say that it equals another.
                self.writers = [each for each in self.writers if each is not writer]
                warn(
                    f"fathom.delve: {type(writer).__name__} failed and is switched off; the "
                    f"training goes on. {type(error).__name__}: {error}"
                )


def _nothing(*arguments: Any, **options: Any) -> None:
    pass
