"""The probes that a run has, by step."""

import re
from collections.abc import Iterable
from pathlib import Path

from fathom.errors import DamagedRecordError, RunNotFoundError
from fathom.probes import KIND, Probes
from fathom.store.analyses import read_analyses
from fathom.views.kept import read

_NAME = re.compile(r"step(-?\d{1,19})(-legacy)?")


def stored_probes(folder: Path, step: int | None, *, legacy: bool) -> Probes:
    """Read the probes of a step.

    Args:
        folder: The run's.
        step: At which the model was probed; None for the last that has probes.
        legacy: Those that were fitted with `legacy=True`.

    Returns:
        The probes.

    Raises:
        RunNotFoundError: If there are none.
        DamagedRecordError: If they are not as they were written.
    """
    found, damaged = read(folder, KIND, Probes.from_body)
    # A file that was given another name is not what it says either.
    damaged += [name for name, each in found.items() if name != each.name]
    broken = _steps(damaged, legacy=legacy)
    whole = _steps([name for name in found if name not in damaged], legacy=legacy)
    wanted = max(whole or broken, default=None) if step is None else step
    if wanted in whole:
        return found[whole[wanted]]
    if wanted in broken:
        raise DamagedRecordError(
            f"probes: record must be as fathom.probe wrote it, got {broken[wanted]} of {folder}, "
            "which is not. Probe the model of that step again."
        )
    given = ", legacy=True" if legacy else ""
    there = ", ".join(map(str, sorted(whole))) or "none"
    asked = "of any step" if step is None else f"of step {step}"
    raise RunNotFoundError(
        f"probes: step must have been probed, got {folder} without probes {asked}; probed are: "
        f"{there}. Run fathom.probe(model, train_data, eval_data, run=...{given})."
    )


def probed_steps(folder: Path) -> list[int]:
    """Return the steps that have probes, of the usual kind, ascending.

    Args:
        folder: The run's.
    """
    found, _ = read_analyses(folder, KIND)
    return sorted(_steps(found, legacy=False))


def _steps(names: Iterable[str], *, legacy: bool) -> dict[int, str]:
    matches = {name: _NAME.fullmatch(name) for name in names}
    return {
        int(match[1]): name for name, match in matches.items() if match and bool(match[2]) == legacy
    }
