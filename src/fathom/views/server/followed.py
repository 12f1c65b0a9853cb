"""One run that is looked at: its document as it is now, ready to send."""

import hashlib
import sqlite3
import threading
from pathlib import Path

from fathom.errors import ArgumentError, FathomError, RunError, RunNotFoundError
from fathom.store.follow import Follower
from fathom.store.lock import is_written
from fathom.store.timeline import Timeline
from fathom.views.analyses import Analyses
from fathom.views.document import Document, run_document, spectrum_document
from fathom.views.numbers import exact
from fathom.views.server.packing import compressed, encoded
from fathom.views.server.root import Root

# What a record with a right checksum and wrong content, which only malice writes, can raise: one of
# the wrong type, nested too deep, or too big.
ODD_CONTENT = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    sqlite3.Error,
)

_THRESHOLD = 0.99

# At most so many steps, and readings of a phase: a snapshot is to be seen within a second, however
# many layers there are.
_STEPS, _READINGS = 2000, 100_000


class Followed:
    """A run by name: `look` brings it up to date. Any thread may call, one works at a time."""

    def __init__(self, root: Root, name: str):
        """Say which run; it need not exist yet, and nothing is opened before the first look.

        Args:
            root: Where it lies.
            name: Hostile text.
        """
        self.name = name
        self._root = root
        self._work = threading.Lock()
        self._follower: Follower | None = None
        self._analyses: Analyses | None = None
        self._live = False
        self._stamp: str | None = None
        self._document = b""
        self._problem: str | None = None

    def look(self) -> str | None:
        """Take in what has changed.

        Returns:
            The stamp of what there is now: another one whenever the document is another, and None
            where there is no run.
        """
        with self._work:
            self._look()
            return self._stamp

    def document(self) -> bytes:
        """Return the run's document as JSON, with its `stamp`.

        Returns:
            Compressed with gzip.

        Raises:
            RunNotFoundError: If there is no such run.
            RunError: If it cannot be read.
        """
        with self._work:
            self._timeline()
            return self._document

    def spectrum(self, *, phase: str, layer: str, step: int) -> Document:
        """Return the spectrum of a layer, at the run's own threshold.

        Args:
            phase: `train` or `eval`.
            layer: Its name.
            step: A recorded step.

        Returns:
            As `spectrum_document`, with `name`, `phase`, `layer` and `step`.

        Raises:
            ArgumentError: If there is no such phase.
            RunNotFoundError: If there is no such run or reading.
            RunError: If it cannot be read.
        """
        with self._work:
            run = self._timeline().run
            try:
                threshold = run.facts.get("settings", {}).get("threshold", _THRESHOLD)
                spectrum = run.spectrum(layer, step=step, phase=phase)
                found = spectrum_document(spectrum, threshold=threshold)
            except ArgumentError:
                raise
            except RunError as error:
                raise type(error)(self._told(error)) from error
            except ODD_CONTENT as error:
                raise RunError(odd(error)) from error
        return {"name": self.name, "phase": phase, "layer": layer, "step": exact(step), **found}

    def close(self) -> None:
        """Close the run; the next look opens it again."""
        with self._work:
            self._forget()

    def _timeline(self) -> Timeline:
        self._look()
        if self._problem is not None:
            raise RunError(self._problem)
        if self._follower is None or self._follower.timeline is None:
            raise RunNotFoundError(
                f"serve: name must be a run of the folder that is served, got {self.name!r}."
            )
        return self._follower.timeline

    def _look(self) -> None:
        folder = self._root.find(self.name)
        # A run that could not be read has no follower, and goes all the same.
        if folder is None or (self._follower is not None and folder != self._follower.path):
            self._forget()
        if folder is None:
            return
        if self._follower is None:
            self._follower = Follower(folder, most=_most)
        if self._analyses is None:
            self._analyses = Analyses(folder)
        try:
            changed = self._follower.look()
            changed = self._analyses.look() or changed
            timeline = self._follower.timeline
            if timeline is None or self._root.find(self.name) != folder:
                self._forget()
            elif changed or self._stamp is None or is_written(folder) != self._live:
                self._take(run_document(timeline, name=self.name, analyses=self._analyses))
                timeline.drop_columns()
        except FathomError as error:
            problem = self._told(error)
            self._forget()  # so that it is opened anew: it may be replaced by a whole one
            self._fail(problem)
        except ODD_CONTENT as error:
            self._fail(odd(error))
            self._live = is_written(folder)

    def _take(self, document: Document) -> None:
        text = encoded(document)
        self._stamp = hashlib.blake2b(text, digest_size=12).hexdigest()
        self._document = compressed(b'{"stamp":"%s",%s' % (self._stamp.encode(), text[1:]))
        self._live, self._problem = document["live"], None

    def _fail(self, problem: str) -> None:
        self._problem, self._document = problem, b""
        self._stamp = hashlib.blake2b(problem.encode(errors="replace"), digest_size=12).hexdigest()

    def _forget(self) -> None:
        if self._follower is not None:
            self._follower.close()
        self._follower = self._analyses = self._stamp = self._problem = None
        self._document = b""

    def _told(self, error: FathomError) -> str:
        folder = self._follower.path if self._follower is not None else None
        return told(error, folder=folder, name=self.name, root=self._root)


def _most(layers: int) -> int:
    return min(max(_READINGS // max(layers, 1), 1), _STEPS)


def told(error: FathomError, *, folder: Path | None, name: str, root: Root) -> str:
    """Say what is wrong with a run, without a path of this machine.

    Args:
        error: That reading it raised.
        folder: Of the run.
        name: Of the run.
        root: Where it lies.

    Returns:
        The message, with the run's name in place of its path.
    """
    message = str(error)
    if folder is not None:
        message = message.replace(str(folder), name)
    return message.replace(str(root.path.resolve()), root.title)


def odd(error: Exception) -> str:
    """Say what is wrong with a run whose records are whole and make no sense."""
    return (
        f"run: records must hold what fathom writes, got {type(error).__name__} while reading them."
        " Their checksums are right, so that another program has written them."
    )
