"""The list of all runs, kept ready: a run is only opened again where its files have changed."""

import hashlib
import math
import threading
from dataclasses import dataclass
from pathlib import Path

from fathom.errors import RunError, RunNotFoundError
from fathom.store.lock import is_written
from fathom.store.schema import DATABASE
from fathom.store.stored import StoredRun
from fathom.store.timeline import Timeline
from fathom.views.document import Document
from fathom.views.numbers import exact
from fathom.views.server.followed import odd, told
from fathom.views.server.packing import compressed, encoded
from fathom.views.server.root import Root, fault

_OUTSIDE = "Its files are links that lead out of the folder that is served."


@dataclass(frozen=True, slots=True)
class _Kept:
    seen: object
    entry: Document


class Listing:
    """The runs below a root. Any thread may call, one works at a time."""

    def __init__(self, root: Root):
        """Say where; nothing is read before the first look.

        Args:
            root: Need not exist yet.
        """
        self._root = root
        self._work = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._stamp = ""
        self._document = b""

    def look(self) -> str:
        """Take in what has changed.

        Returns:
            The stamp of the list: another one whenever the list is another.
        """
        with self._work:
            self._look()
            return self._stamp

    def document(self) -> bytes:
        """Return the list as JSON, compressed with gzip.

        Returns:
            `title`, `left_out` (whether there are more runs than the limits let be listed) and
            `runs`, each with `name`, `live`, `recorded`, `last_step`, `layers` (how
            many), `model`, `started`, `updated` (seconds since 1970), `average` (of the last step,
            in [0, 1]) and `problem`, null but where the run cannot be read.
        """
        with self._work:
            self._look()
            return self._document

    def _look(self) -> None:
        found = self._root.search()
        kept: dict[str, _Kept] = {}
        runs: list[Document] = []
        for name in found.names:
            # Right before it is opened: links may have been changed since the search.
            folder = found.find(name)
            entry = self._entry(name, folder)
            if entry is not None:
                kept[name] = entry
                live = folder is not None and is_written(folder)
                runs.append({"live": live, **entry.entry, "name": _shown(name)})
        self._kept = kept
        text = encoded({"title": self._root.title, "left_out": found.left_out, "runs": runs})
        stamp = hashlib.blake2b(text, digest_size=12).hexdigest()
        if stamp != self._stamp:
            self._stamp, self._document = stamp, compressed(text)

    def _entry(self, name: str, folder: Path | None) -> _Kept | None:
        if folder is None:
            return _Kept(None, _unread(fault(name) or _OUTSIDE))
        seen = _signature(folder)
        kept = self._kept.get(name)
        if kept is not None and kept.seen == seen:
            return kept
        try:
            return _Kept(seen, _read(folder))
        except RunNotFoundError:  # begun just now, and still empty; or another program's
            return None
        except RunError as error:
            return _Kept(seen, _unread(told(error, folder=folder, name=name, root=self._root)))
        except Exception as error:  # noqa: BLE001 - one run must not take the others with it
            return _Kept(seen, _unread(odd(error)))


def _read(folder: Path) -> Document:
    with StoredRun(folder) as run:
        timeline = Timeline(run, most=1)
        last, facts = timeline.last, run.facts
        averages = [
            float(timeline.averages(phase=phase)[-1]) for phase in ("eval", "train") if last
        ]
        return {
            "recorded": timeline.recorded,
            "last_step": exact(last.step) if last else None,
            "layers": len(timeline.facts),
            "model": _text(facts.get("model")),
            "started": _text(facts.get("started")),
            "updated": last.time if last and math.isfinite(last.time) else None,
            "average": next((value for value in averages if math.isfinite(value)), None),
            "problem": None,
        }


def _text(value: object) -> str | None:
    """Return a text as it is: what is no text could be of any size and depth."""
    return value if isinstance(value, str) else None


def _unread(problem: str) -> Document:
    return {
        "recorded": 0,
        "last_step": None,
        "layers": 0,
        "model": None,
        "started": None,
        "updated": None,
        "average": None,
        "problem": problem,
    }


def _signature(folder: Path) -> object:
    """Return what changes whenever the run does, from its files alone."""
    found: list[tuple[int, int, int, int] | None] = []
    for name in (DATABASE, f"{DATABASE}-wal"):
        try:
            file = (folder / name).stat()
        except OSError:
            found.append(None)
        else:
            # A reader makes an empty journal, which is as good as none.
            is_empty = name != DATABASE and not file.st_size
            found.append(
                None if is_empty else (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns)
            )
    return str(folder), *found


def _shown(name: str) -> str:
    """Return a name that any text encoding can hold."""
    return name.encode(errors="replace").decode()
