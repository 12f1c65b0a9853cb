"""Numbers on the console."""

from collections.abc import Mapping
from typing import Any

from fathom.delve.writers.writer import AbstractWriter, is_matrix, is_nan, plain


class PrintWriter(AbstractWriter):
    """Prints each number when it comes."""

    def __init__(self, **kwargs: Any):
        """Take nothing.

        Args:
            **kwargs: Options of other writers.
        """

    def resume_from_saved_state(self, initial_epoch: int) -> None:
        """Do nothing.

        Args:
            initial_epoch: Not used.
        """

    def add_scalar(self, name: str, value: Any, **kwargs: Any) -> None:
        """Print a number; no matrix, and nothing where there is none.

        Args:
            name: Of the number.
            value: The number.
            **kwargs: Not used.
        """
        value = plain(value)
        if not (is_matrix(name, value) or is_nan(value)):
            print(name, ":", value)

    def add_scalars(self, prefix: str, value_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Print several numbers.

        Args:
            prefix: Goes before each name, with an underscore.
            value_dict: Names to numbers.
            **kwargs: Not used.
        """
        for name, value in value_dict.items():
            self.add_scalar(f"{prefix}_{name}", value)

    def save(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
