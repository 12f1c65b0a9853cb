"""Standard output, which may be full."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from fathom.errors import ArgumentError, FathomError


@contextmanager
def standard_output(command: str) -> Iterator[TextIO]:
    """Write to standard output, to the end.

    Args:
        command: The subcommand, for the message.

    Yields:
        The stream.

    Raises:
        ArgumentError: If it cannot be written: a line, not a traceback. A pipe whose reader has
            enough ends the command as pipes end others.
    """
    try:
        yield sys.stdout
        sys.stdout.flush()
    except (FathomError, BrokenPipeError):
        raise
    except OSError as error:
        # What is not written yet would be tried again, and told, when Python ends.
        with suppress(OSError, ValueError), open(os.devnull, "w") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        raise ArgumentError(
            f"{command}: standard output must be writable, got {error.strerror or error}."
        ) from error
