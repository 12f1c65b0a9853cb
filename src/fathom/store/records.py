"""How a record becomes bytes that tell when they are damaged, and what is in each.

Every record is a JSON body and, for a reading, the packed eigenvalues; a CRC-32 over the key, the
body and the blob goes with it. It finds every flipped byte, and costs microseconds.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.errors import DamagedRecordError
from fathom.reading import LayerFacts, ProbeScore, Reading
from fathom.snapshot import Snapshot
from fathom.spectral.remainder import Remainder
from fathom.spectral.spectrum import Spectrum


def sealed(key: tuple[object, ...], body: Mapping[str, Any], blob: bytes = b"") -> tuple[str, int]:
    """Return a record's body as text, with the checksum of the whole record.

    Args:
        key: Its key columns.
        body: Its content.
        blob: Its packed numbers.

    Returns:
        The body and the checksum.
    """
    text = json.dumps(body, separators=(",", ":"))
    return text, _checksum(key, text, blob)


def unsealed(key: tuple[object, ...], text: Any, checksum: object, blob: Any = b"") -> Any:
    """Return the body of a record that is as it was written.

    Args:
        key: Its key columns.
        text: Its body.
        checksum: What `sealed` returned.
        blob: Its packed numbers.

    Returns:
        The content.

    Raises:
        DamagedRecordError: If it is not as it was written; the key names the record.
    """
    # SQLite holds any type in any column, so a flipped byte may even change the type.
    typed = isinstance(text, str) and isinstance(blob, bytes)
    if not (typed and _checksum(key, text, blob) == checksum):
        raise DamagedRecordError(
            f"run: record must match its checksum, got damaged bytes at {' '.join(map(str, key))}. "
            "The rest of the run is readable; the record itself is lost unless you have a copy."
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(
            f"run: record must be JSON, got at {' '.join(map(str, key))}: {error}. "
            "fathom did not write it. The rest of the run is readable."
        ) from error


def packed(eigenvalues: Tensor) -> bytes:
    """Pack eigenvalues: the largest in float64, then the ratios to it in float32.

    Args:
        eigenvalues: (d,) float64, descending, as a `Spectrum` has them.

    Returns:
        8 + 4·d bytes, little-endian.
    """
    values = eigenvalues.numpy()
    largest = values[0]
    ratios = values / largest if largest > 0 else values
    return np.array(largest, "<f8").tobytes() + ratios.astype("<f4").tobytes()


def unpacked(blob: bytes) -> Tensor:
    """Return the eigenvalues that `packed` was given.

    Args:
        blob: What it returned.

    Returns:
        (d,) float64, the same to the bit.
    """
    largest = np.frombuffer(blob, "<f8", count=1)
    ratios = np.frombuffer(blob, "<f4", offset=8)
    return torch.from_numpy(ratios.astype(np.float64) * largest)


def layer_body(facts: LayerFacts) -> dict[str, Any]:
    """Return what is kept of a layer beside its name."""
    return {
        "kind": facts.kind,
        "module": facts.module,
        "width": facts.width,
        "aliases": list(facts.aliases),
    }


def layer_facts(name: str, body: Mapping[str, Any]) -> LayerFacts:
    """Return the layer that `layer_body` was given."""
    return LayerFacts(name, body["kind"], body["module"], body["width"], tuple(body["aliases"]))


def snapshot_body(snapshot: Snapshot, *, time: float) -> dict[str, Any]:
    """Return what is kept of a snapshot beside its readings."""
    return {
        "time": time,
        "metrics": dict(snapshot.metrics),
        "unobserved": list(snapshot.unobserved),
        "reasons": dict(snapshot.reasons),
        "disabled": dict(snapshot.disabled),
        "output_layer": snapshot.output_layer,
    }


def reading_body(reading: Reading) -> dict[str, Any]:
    """Return what is kept of a reading beside its key and its eigenvalues."""
    remainder = reading.spectrum.remainder
    beyond: dict[str, Any] = {} if remainder is None else {"remainder": asdict(remainder)}
    if reading.probe_samples:
        beyond["probe"] = {"accuracy": reading.probe_accuracy, "samples": reading.probe_samples}
    elif reading.probe.reason:
        beyond["unprobed"] = reading.probe.reason
    return {
        "rows": reading.rows,
        "samples": reading.samples,
        "calls": reading.calls,
        "dropped": reading.dropped,
        "padded": reading.padded,
        "threshold": reading.threshold,
        "measured": dict(reading.spectrum.measured),
        "rounding": reading.spectrum.rounding,
        **beyond,
    }


def reading_of(facts: LayerFacts, phase: str, body: Mapping[str, Any], blob: bytes) -> Reading:
    """Return the reading that `reading_body` and `packed` were given."""
    beyond, reason = body.get("remainder"), body.get("unprobed", "")
    return Reading(
        layer=facts,
        phase="train" if phase == "train" else "eval",
        spectrum=Spectrum(
            unpacked(blob),
            body["rows"],
            body["measured"],
            body["rounding"],
            None if beyond is None else Remainder(**beyond),
        ),
        samples=body["samples"],
        calls=body["calls"],
        dropped=body["dropped"],
        threshold=body["threshold"],
        padded=body["padded"],
        probe=ProbeScore(**body.get("probe", {}), reason=reason),
    )


def _checksum(key: tuple[object, ...], text: str, blob: bytes) -> int:
    head = json.dumps([*key, text, len(blob)], default=repr)
    return zlib.crc32(blob, zlib.crc32(head.encode()))
