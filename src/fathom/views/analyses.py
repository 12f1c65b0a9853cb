"""What analyses found about a run, kept up with: bounded work, whatever lies in the folder."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fathom import probes, projections
from fathom.probes import Probes
from fathom.projections import ProjectionCurve
from fathom.store.analyses import AnalysisFile, analysis_files, analysis_times, read_analysis
from fathom.views import similarity, step_similarity
from fathom.views.similarity import Similarity
from fathom.views.step_similarity import SimilarityOverSteps

Record = Probes | ProjectionCurve | Similarity | SimilarityOverSteps
R = TypeVar("R", Probes, ProjectionCurve, Similarity, SimilarityOverSteps)


class _Kind(Protocol):
    def from_body(self, body: Mapping[str, Any]) -> Record: ...


_KINDS: Mapping[str, _Kind] = {
    probes.KIND: Probes,
    projections.KIND: ProjectionCurve,
    similarity.KIND: Similarity,
    step_similarity.KIND: SimilarityOverSteps,
}

# How many files of a folder are looked at, and how many of them, and bytes, are read of a run. A
# similarity of 500 layers takes 5 MB.
_LOOKED_AT, _FILES, _BYTES, _BYTES_IN_ALL = 1000, 256, 8 * 2**20, 24 * 2**20

# A folder's time is as coarse as its file system has it: what is written within the same moment,
# in seconds, is found by looking at the files.
_SETTLES = 2.0


class Analyses:
    """The analyses of a run; `look` takes in what has changed."""

    def __init__(self, folder: Path):
        """Say of which run; nothing is read before the first look.

        Args:
            folder: The run's folder.
        """
        self._folder = folder
        self._files: dict[tuple[str, str], AnalysisFile] = {}
        self._records: dict[tuple[str, str], Record | None] = {}
        self._times: object = None
        self._settled = 0.0

    def look(self) -> bool:
        """Read the files that are new or others, and forget those that are gone.

        Returns:
            Whether anything has changed.
        """
        times, now = analysis_times(self._folder, _KINDS), time.monotonic()
        if times != self._times:
            self._times, self._settled = times, now + _SETTLES
        elif now > self._settled:
            return False
        files = {
            (kind, name): file
            for kind in _KINDS
            for name, file in analysis_files(self._folder, kind, most=_LOOKED_AT).items()
        }
        if files == self._files:
            return False
        known = {
            key: each for key, each in self._records.items() if self._files[key] == files.get(key)
        }
        records: dict[tuple[str, str], Record | None] = dict.fromkeys(files)
        left = _BYTES_IN_ALL
        for key in sorted(files, key=lambda key: files[key].time, reverse=True)[:_FILES]:
            left -= files[key].size
            if left >= 0:
                records[key] = known[key] if key in known else _record(key[0], files[key])
        self._files, self._records = files, records
        return True

    @property
    def probes(self) -> list[Probes]:
        """By step: those of the usual kind, or of a run that has none of it the legacy ones."""
        found = [each for each in self._of(Probes).values() if each.step is not None]
        usual = [each for each in found if not each.legacy]
        return sorted(usual or found, key=lambda each: each.step or 0)

    @property
    def projections(self) -> list[ProjectionCurve]:
        """By step, those of none last."""
        found = self._of(ProjectionCurve).values()
        return sorted(found, key=lambda each: (each.step is None, each.step or 0))

    @property
    def similarities(self) -> dict[str, Similarity | SimilarityOverSteps]:
        """By name; of two of the same name, one is over steps."""
        over_steps = self._of(SimilarityOverSteps)
        found: dict[str, Similarity | SimilarityOverSteps] = dict(self._of(Similarity))
        for name, each in over_steps.items():
            found[name if name not in found else f"{name} over steps"] = each
        return found

    @property
    def left_out(self) -> list[str]:
        """The files that are damaged, or beyond the bounds."""
        return [f"{kind}/{name}" for (kind, name), each in self._records.items() if each is None]

    def _of(self, kind: type[R]) -> dict[str, R]:
        return {name: each for (_, name), each in self._records.items() if isinstance(each, kind)}


def _record(kind: str, file: AnalysisFile) -> Record | None:
    body = read_analysis(file, most=_BYTES)
    try:
        return None if body is None else _KINDS[kind].from_body(body)
    except Exception:  # noqa: BLE001 - anybody can make a file, and one must not take the run with it
        return None
