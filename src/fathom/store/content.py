"""What each record holds: a right checksum says nothing of types, and anybody can make a file."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from reprlib import Repr
from typing import Any

import numpy as np

from fathom.errors import DamagedRecordError
from fathom.reading import PHASES
from fathom.store.records import unpacked, unsealed
from fathom.store.summary import STATUSES, SUMMARIES

Key = tuple[object, ...]

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def content(key: Key, text: object, checksum: object, blob: object = b"") -> dict[str, Any]:
    """Return the body of a record that is as it was written, and holds what fathom writes.

    Args:
        key: Its kind and key columns.
        text: Its body.
        checksum: Its checksum.
        blob: Its packed numbers.

    Returns:
        The content, whose types can be relied on.

    Raises:
        DamagedRecordError: If it is neither; the key names the record.
    """
    body = unsealed(key, text, checksum, blob)
    if fault := _fault(key, body, blob):
        raise DamagedRecordError(
            f"run: record must hold {fault} at {' '.join(map(str, key))}. fathom did not write it. "
            "The rest of the run is readable."
        )
    return dict(body)


def _fault(key: Key, body: object, blob: Any) -> str:
    """Say what is wrong: the rule, and what is there; nothing where all is well."""
    kind, *columns = key
    if not isinstance(body, dict):
        return f"an object, got {_SHORT.repr(body)}"
    if kind in ("layer", "spectrum") and not isinstance(columns[-1], str):
        return f"a layer's name, got {_SHORT.repr(columns[-1])}"
    for name, rule in _RULES.get(str(kind), {}).items():
        if name not in body:
            if rule.needed:
                return f"{name}, got none"
        elif not rule.allows(body[name]):
            return f"{rule.words} in {name}, got {_SHORT.repr(body[name])}"
    if kind == "spectrum" and not _is_spectrum(blob):
        return f"eigenvalues, got {len(blob)} bytes that are none"
    if kind in SUMMARIES and not _is_summary(str(kind), blob):
        return f"numbers of readings, got {len(blob)} bytes that are none"
    return ""


def _is_number(value: object) -> bool:
    # Beyond 64 bits no array holds a whole number.
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, float)


def _is_count(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and value >= 0


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1


def _is_width(value: object) -> bool:
    return value is None or (isinstance(value, int) and _is_count(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_texts_by_name(value: object) -> bool:
    return isinstance(value, dict) and _are_texts(list(value.values()))


def _are_numbers_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_remainder(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"width", "total", "norm"}
        and _are_numbers_by_name(value)
        and isinstance(value["width"], int)
        and value["width"] > 0
    )


def _is_probe(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"accuracy", "samples"}
        and _are_numbers_by_name(value)
        and 0 <= value["accuracy"] <= 1
        and isinstance(value["samples"], int)
        and value["samples"] > 0
    )


def _is_settings(value: object) -> bool:
    return isinstance(value, dict) and _is_share(value.get("threshold", 1.0))


def _is_covariances(value: object) -> bool:
    return (
        isinstance(value, dict)
        and {"file", "checksum"} <= value.keys()
        and (_are_numbers_by_name(value.get("read", {})))
    )


def _is_spectrum(blob: bytes) -> bool:
    if len(blob) < 12 or (len(blob) - 8) % 4:
        return False
    eigenvalues = unpacked(blob)
    return bool((eigenvalues.isfinite() & (eigenvalues >= 0)).all())


def _is_summary(kind: str, blob: bytes) -> bool:
    if len(blob) % SUMMARIES[kind].itemsize:
        return False
    numbers = np.frombuffer(blob, SUMMARIES[kind])
    return bool(
        (numbers["phase"] < len(PHASES)).all()
        and (numbers["status"] < len(STATUSES)).all()
        and (numbers["width"] > 0).all()
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    words: str
    allows: Callable[[Any], bool]
    needed: bool = True


_COUNT = _Rule("a number of at least 0", _is_count)
_REASONS = _Rule("texts by name", _are_texts_by_name, needed=False)

_RULES: Mapping[str, Mapping[str, _Rule]] = {
    "session": {"settings": _Rule("settings", _is_settings, needed=False)},
    "layer": {
        "kind": _Rule("a text", _is_text),
        "module": _Rule("a text", _is_text),
        "width": _Rule("a whole number or nothing", _is_width),
        "aliases": _Rule("texts", _are_texts),
    },
    "snapshot": {
        "time": _Rule("a number", _is_number, needed=False),
        "metrics": _Rule("numbers by name", _are_numbers_by_name, needed=False),
        "unobserved": _Rule("texts", _are_texts, needed=False),
        "reasons": _REASONS,
        "disabled": _REASONS,
        "output_layer": _Rule("a text or nothing", _is_text_or_none, needed=False),
        "covariances": _Rule("a file's name and checksum", _is_covariances, needed=False),
    },
    "spectrum": {
        **dict.fromkeys(("rows", "samples", "calls", "dropped", "padded"), _COUNT),
        "threshold": _Rule("a number in (0, 1]", _is_share),
        "measured": _Rule("numbers by name", _are_numbers_by_name),
        "rounding": _Rule("a number", _is_number),
        "remainder": _Rule("width, total and norm", _is_remainder, needed=False),
        "probe": _Rule("an accuracy and a number of samples", _is_probe, needed=False),
        "unprobed": _Rule("a text", _is_text, needed=False),
    },
}
