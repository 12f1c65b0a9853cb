"""Every error and warning that fathom raises on purpose.

::

    FathomError
    ├── ArgumentError (ValueError)           a value outside its rule
    │   ├── ShapeError                       a tensor of the wrong shape
    │   └── LayerSelectionError              no layer matches
    ├── ClosedError (RuntimeError)           something was used where it has ended
    ├── NotObservedError (KeyError)          a layer has no reading in this snapshot
    ├── RanksError (RuntimeError)            processes of one training do not fit together
    ├── MissingExtraError (ImportError)      an optional package is not installed
    ├── ExperimentError (RuntimeError)       an experiment's folder or trainings do not fit it
    ├── DataNotFoundError (FileNotFoundError)  a data set of an experiment cannot be reached
    └── RunError (OSError)                   a run on disk cannot be made, read or written
        ├── RunExistsError (FileExistsError)
        ├── RunNotFoundError (FileNotFoundError)
        ├── RunBusyError                     another process is writing it
        └── DamagedRecordError               a checksum does not match

    FathomWarning (UserWarning)              something was switched off or left out

A message reads `where: argument must rule, got value. Fix.`
"""

import logging
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from operator import index
from typing import Any, SupportsIndex


class FathomError(Exception):
    """The base of every error that fathom raises on purpose."""


class ArgumentError(FathomError, ValueError):
    """An argument has a value outside its rule."""


class ShapeError(ArgumentError):
    """A tensor has a shape, or a width, that cannot be used here."""


class LayerSelectionError(ArgumentError):
    """The `layers` argument selects nothing."""


class ClosedError(FathomError, RuntimeError):
    """A monitor, a run or a snapshot under way was used where it has ended."""


class NotObservedError(FathomError, KeyError):
    """A layer has no reading here."""

    def __str__(self) -> str:
        """Return the message as it is; a KeyError would quote it."""
        return str(self.args[0])


class RanksError(FathomError, RuntimeError):
    """The processes of one training do not agree, or one of them cannot be reached."""


class MissingExtraError(FathomError, ImportError):
    """A feature needs an optional package that is not installed."""


class ExperimentError(FathomError, RuntimeError):
    """The folder of an experiment holds something else, or a training of it cannot be done."""


class DataNotFoundError(FathomError, FileNotFoundError):
    """A data set of an experiment cannot be reached; the message says what to do."""


class RunError(FathomError, OSError):
    """A run on disk cannot be made, read or written."""


class RunExistsError(RunError, FileExistsError):
    """The path already holds a run, and nobody said to go on with it."""


class RunNotFoundError(RunError, FileNotFoundError):
    """The path holds no run, or the run has no such step or layer."""


class RunBusyError(RunError):
    """Another process is writing this run."""


class DamagedRecordError(RunError):
    """A stored record does not match its checksum."""


class FathomWarning(UserWarning):
    """Something was switched off or left out; the training goes on."""


def choose(value: str, choices: tuple[str, ...], *, where: str) -> None:
    """Refuse a value that is not one of `choices`.

    Args:
        value: What came.
        choices: What is allowed.
        where: The function and argument, for the message.

    Raises:
        ArgumentError: If `value` is not one of `choices`; the message lists them.
    """
    if value not in choices:
        nearest = get_close_matches(str(value), choices, n=1)
        fix = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ArgumentError(f"{where} must be one of {', '.join(choices)}, got {value!r}.{fix}")


def near(name: str, names: Sequence[str]) -> str:
    """Say which names there are, of many those that are most like a wrong one.

    Args:
        name: What came; no layer's name is empty but that of the model itself.
        names: What there is.

    Returns:
        A sentence with at most five.
    """
    some = get_close_matches(name, names, n=5, cutoff=0.4) or names[:5]
    listed = ", ".join(each or "(model)" for each in some)
    return f"There are: {listed}." if some else "There are none yet."


def whole_number(value: object, *, where: str) -> int:
    """Refuse what is not a whole number that a database can hold.

    Args:
        value: What came.
        where: The function and argument, for the message.

    Returns:
        The value as an int.

    Raises:
        ArgumentError: If it is none, or takes more than 64 bits.
    """
    try:
        number = index(value) if isinstance(value, SupportsIndex) else None
    except TypeError:  # a tensor that is no whole number
        number = None
    if number is None or isinstance(value, bool) or not -(2**63) <= number < 2**63:
        raise ArgumentError(
            f"{where} must be a whole number of at most 64 bits, got {value!r}. Pass the epoch or "
            "the number of the training step."
        )
    return number


def number(value: Any, *, where: str) -> float:
    """Refuse what is no single number.

    Args:
        value: What came: a number of Python, or an array or a tensor of one element.
        where: The function and argument, for the message.

    Returns:
        The value as a float.

    Raises:
        ArgumentError: If it is none.
    """
    try:
        # Text may be that of a number, but is none.
        plain: Any = None if isinstance(value, str | bytes) else value
        return float(plain.detach() if hasattr(plain, "detach") else plain)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ArgumentError(
            f"{where} must be a number or a tensor of one element, got {value!r}. "
            "Pass a number; reduce a tensor first, such as with .mean()."
        ) from error


class _Collecting(threading.local):
    """Where the warnings of one thread go, if it is not to give them itself."""

    into: deque[str] | None = None


_COLLECTING = _Collecting()


@contextmanager
def collected(into: deque[str]) -> Iterator[None]:
    """Keep the warnings of this thread for another: filters and records of warnings are the user's.

    Args:
        into: Where the messages go.
    """
    before, _COLLECTING.into = _COLLECTING.into, into
    try:
        yield
    finally:
        _COLLECTING.into = before


def warn(message: str) -> None:
    """Warn, and never raise: a training run with `-W error` must survive fathom's own faults.

    In the background the message is kept for the next call of the user's. Where the caller's
    filters turn the warning into an exception, it goes to the `fathom` logger.

    Args:
        message: One sentence of what happened and one of what to do.
    """
    if _COLLECTING.into is not None:
        _COLLECTING.into.append(message)
        return
    try:
        warnings.warn(message, FathomWarning, stacklevel=2)
    except FathomWarning:
        logging.getLogger("fathom").error(message)


def tell(messages: deque[str]) -> None:
    """Give the warnings that were kept so far, each once.

    Args:
        messages: What `collected` has kept; told ones are taken out.
    """
    with suppress(IndexError):
        # So many only: told in the background itself, they come back for the user's thread.
        for _ in range(len(messages)):
            warn(messages.popleft())


def words_of(error: BaseException) -> str:
    """Return what an error says, whoever wrote its class.

    Args:
        error: What was raised.

    Returns:
        Its class and its message.
    """
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the user's own class may fail here too
        return f"{type(error).__name__}: an error that cannot be printed"
