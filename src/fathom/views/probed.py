"""The probes that a run has, by step."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.errors import DamagedRecordError, RunNotFoundError
from fathom.probes import KIND, Probes
from fathom.store.analyses import read_analyses

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
    found, damaged = read_analyses(folder, KIND)
    whole = _steps(dict.fromkeys(found), legacy=legacy)
    broken = _steps(dict.fromkeys(damaged), legacy=legacy)
    wanted = max(whole or broken, default=None) if step is None else step
    if wanted in whole:
        return _probes(found[whole[wanted]], wanted, legacy=legacy)
    if wanted in broken:
        raise DamagedRecordError(
            f"probes: record must match its checksum, got damaged bytes at {broken[wanted]} of "
            f"{folder}. Probe the model of that step again."
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


def _steps(names: Mapping[str, Any], *, legacy: bool) -> dict[int, str]:
    matches = {name: _NAME.fullmatch(name) for name in names}
    return {
        int(match[1]): name for name, match in matches.items() if match and bool(match[2]) == legacy
    }


def _probes(body: Mapping[str, Any], step: int, *, legacy: bool) -> Probes:
    probes = Probes.from_body(body)
    if (probes.step, probes.legacy) != (step, legacy):
        raise DamagedRecordError(
            f"probes: record must be of step {step}, got one of step {probes.step}. Probe the "
            "model of that step again."
        )
    return probes
