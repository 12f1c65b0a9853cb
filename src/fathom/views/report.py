"""One or more runs as a report: one file of HTML that needs nothing else."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from fathom.errors import ArgumentError
from fathom.reading import PHASES
from fathom.views.assets import INDEX, LIBRARY, MODULES, STYLES, asset
from fathom.views.document import Document, json_text, run_document, spectrum_document
from fathom.views.files import replaced
from fathom.views.names import run_names
from fathom.views.run import Run

# The steps of a run whose spectra a report holds: the first, one in the middle and the last.
_SPECTRA = 3
# At most so many readings of a phase, however long the run: a report stays a few megabytes.
_READINGS = 100_000

_IMPORT = re.compile(r"^import [^;]+;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|class|const))", re.MULTILINE)


def write_report(runs: Sequence[Run], path: Path, *, made: datetime | None = None) -> int:
    """Write a report to a file, which is there whole or not at all.

    Args:
        runs: Open runs; of two or more the report compares.
        path: The file.
        made: When; None for now.

    Returns:
        Its size in bytes.
    """
    text = report(runs, made=made).encode()
    with replaced(path) as unfinished:
        unfinished.write_bytes(text)
    return len(text)


def report(runs: Sequence[Run], *, made: datetime | None = None) -> str:
    """Return a report.

    Args:
        runs: Open runs; of two or more the report compares.
        made: When; None for now.

    Returns:
        HTML that runs its own script alone, and reaches no network.

    Raises:
        ArgumentError: If there is no run.
    """
    if not runs:
        raise ArgumentError("report: runs must hold at least one run, got none.")
    names = run_names([run.path for run in runs])
    data: Document = {
        "kind": "report",
        "title": " and ".join(names),
        "made": (made or datetime.now(UTC)).timestamp(),
        "runs": [],
        "spectra": {},
    }
    for name, run in zip(names, runs, strict=True):
        document, spectra = _run(run, name)
        data["runs"].append(document)
        data["spectra"][name] = spectra
    return _page(data)


def _run(run: Run, name: str) -> tuple[Document, Document]:
    timeline = run.timeline(most=max(_READINGS // max(len(run.layers), 1), 1))
    document = run_document(timeline, name=name)
    # A file moves no more, and says of when it is.
    document |= {"stamp": "", "live": False, "damaged": run.damaged}
    threshold = document["threshold"]
    spectra: Document = {phase: {} for phase in PHASES}
    for step in _some(timeline.steps):
        snapshot = run.snapshot(step)
        for reading in (*snapshot.train.values(), *snapshot.eval.values()):
            there = spectra[reading.phase].setdefault(str(step), {})
            there[reading.layer.name] = spectrum_document(
                reading.spectrum, threshold=threshold or reading.threshold
            )
    return document, spectra


def _some(steps: Sequence[int]) -> list[int]:
    last = len(steps) - 1
    places = {round(last * part / (_SPECTRA - 1)) for part in range(_SPECTRA)} if steps else set()
    return [steps[place] for place in sorted(places)]


def _page(data: Mapping[str, Any]) -> str:
    style = "\n".join(map(asset, STYLES))
    script = "\n".join([asset(LIBRARY), *map(_inlined, MODULES)])
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {_hash(script)}; style-src {_hash(style)}"
    )
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>{style}</style>\n"
        f'<script type="module">{script}</script>\n'
    )
    page = _between(asset(INDEX), "live", head)
    held = f'<script type="application/json" id="fathom-data">{json_text(data)}</script>\n'
    return _between(page, "data", held)


def _inlined(name: str) -> str:
    """Return a module without its imports: in one file, all stand in one scope."""
    return _EXPORT.sub("", _IMPORT.sub("", asset(name)))


def _between(page: str, mark: str, text: str) -> str:
    before, _, rest = page.partition(f"<!-- {mark} -->\n")
    _, _, after = rest.partition(f"<!-- /{mark} -->\n")
    return before + text + after


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
