"""A record comes back as it was written, or says that it does not."""

import json
import math
import sqlite3

import numpy as np
import pytest
import torch

from fathom.errors import DamagedRecordError
from fathom.reading import LayerFacts, Reading
from fathom.snapshot import Snapshot
from fathom.spectral.remainder import Remainder
from fathom.spectral.spectrum import Spectrum, rounded
from fathom.store.records import (
    layer_body,
    layer_facts,
    packed,
    reading_body,
    reading_of,
    sealed,
    snapshot_body,
    unpacked,
    unsealed,
)
from fathom.store.schema import create_tables

KEY = ("spectrum", 4, "eval", "features.3")
BODY = {"rows": 40, "name": "schön ±∞", "none": None, "list": [1, 2.5, "x"], "tiny": 5e-324}
BLOB = bytes(range(48))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def spectrum_like(width: int, *, largest: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(width, dtype=torch.float64, generator=generator).pow(9)
    shares = shares.sort(descending=True).values
    return rounded(shares / shares[0] * largest)


def test_a_sealed_record_comes_back() -> None:
    text, checksum = sealed(KEY, BODY, BLOB)
    assert unsealed(KEY, text, checksum, BLOB) == BODY


@pytest.mark.parametrize("number", [math.inf, -math.inf, 0.1, -0.0, 1e308, 2**60])
def test_numbers_in_a_body_come_back_exactly(number: float) -> None:
    text, checksum = sealed(KEY, {"number": number})
    back = unsealed(KEY, text, checksum)["number"]
    assert back == number
    assert math.copysign(1, back) == math.copysign(1, number)


def test_nan_in_a_body_comes_back() -> None:
    text, checksum = sealed(KEY, {"number": math.nan})
    assert math.isnan(unsealed(KEY, text, checksum)["number"])


def test_every_flipped_bit_of_a_blob_is_found() -> None:
    text, checksum = sealed(KEY, BODY, BLOB)
    for bit in range(8 * len(BLOB)):
        with pytest.raises(DamagedRecordError, match=r"spectrum 4 eval features\.3"):
            unsealed(KEY, text, checksum, flipped(BLOB, bit))


def test_every_flipped_bit_of_a_body_is_found() -> None:
    text, checksum = sealed(KEY, BODY, BLOB)
    data = text.encode()
    for bit in range(8 * len(data)):
        damaged = flipped(data, bit).decode(errors="replace")
        with pytest.raises(DamagedRecordError, match=r"spectrum 4 eval features\.3"):
            unsealed(KEY, damaged, checksum, BLOB)


def test_every_flipped_bit_of_a_checksum_is_found() -> None:
    text, checksum = sealed(KEY, BODY, BLOB)
    for bit in range(64):
        with pytest.raises(DamagedRecordError, match=r"spectrum 4 eval features\.3"):
            unsealed(KEY, text, checksum ^ (1 << bit), BLOB)


@pytest.mark.parametrize(
    "key",
    [
        ("spectrum", 5, "eval", "features.3"),
        ("spectrum", 4, "train", "features.3"),
        ("spectrum", 4, "eval", "features.1"),
        ("snapshot", 4),
        ("spectrum", "4", "eval", "features.3"),
        ("spectrum", None, "eval", "features.3"),
        ("spectrum", 4, b"eval", "features.3"),
        ("spectrum", 4, "eval", b"features.3"),
    ],
    ids=repr,
)
def test_a_record_under_another_key_is_damaged(key: tuple[object, ...]) -> None:
    text, checksum = sealed(KEY, BODY, BLOB)
    with pytest.raises(DamagedRecordError):
        unsealed(key, text, checksum, BLOB)


@pytest.mark.parametrize("text", [None, 7, 0.5, b"{}", "", "{}"], ids=repr)
def test_a_body_of_another_type_is_damaged(text: object) -> None:
    _, checksum = sealed(KEY, BODY, BLOB)
    with pytest.raises(DamagedRecordError):
        unsealed(KEY, text, checksum, BLOB)


@pytest.mark.parametrize("blob", [None, 7, 0.5, "text", b"", BLOB[:-1], BLOB + b"\0"], ids=repr)
def test_a_blob_of_another_type_or_length_is_damaged(blob: object) -> None:
    text, checksum = sealed(KEY, BODY, BLOB)
    with pytest.raises(DamagedRecordError):
        unsealed(KEY, text, checksum, blob)


@pytest.mark.parametrize("checksum", [None, "text", b"\0", 0.5], ids=repr)
def test_a_checksum_of_another_type_is_damaged(checksum: object) -> None:
    text, _ = sealed(KEY, BODY, BLOB)
    with pytest.raises(DamagedRecordError):
        unsealed(KEY, text, checksum, BLOB)


def test_bytes_cannot_move_between_body_and_blob() -> None:
    """A body and a blob with the same bytes in a row are not the same record."""
    text, checksum = sealed(KEY, {"a": 1}, b"rest")
    with pytest.raises(DamagedRecordError):
        unsealed(KEY, text + "rest", checksum, b"")


@pytest.mark.parametrize("largest", [5e-324, 1e-320, 1e-300, 1e-30, 1.0, 1 / 3, 1e30, 1.7e308])
@pytest.mark.parametrize("width", [1, 2, 64])
def test_eigenvalues_come_back_to_the_bit_at_every_scale(largest: float, width: int) -> None:
    values = spectrum_like(width, largest=largest)
    blob = packed(values)
    assert len(blob) == 8 + 4 * width
    assert unpacked(blob).numpy().tobytes() == values.numpy().tobytes()


def test_measured_eigenvalues_come_back_to_the_bit() -> None:
    for seed in range(200):
        values = spectrum_like(32, largest=10.0 ** (seed % 61 - 30), seed=seed)
        assert unpacked(packed(values)).numpy().tobytes() == values.numpy().tobytes()


def test_a_spectrum_of_zeros_comes_back() -> None:
    assert unpacked(packed(torch.zeros(5, dtype=torch.float64))).tolist() == [0.0] * 5


def test_unpacked_eigenvalues_can_be_written_to() -> None:
    """PyTorch warns of memory that cannot be written, and NumPy refuses it."""
    values = unpacked(packed(spectrum_like(4, largest=1.0)))
    values[0] = 7.0
    assert np.asarray(values)[0] == 7.0


@pytest.mark.parametrize("width", [None, 12])
def test_a_layer_comes_back(width: int | None) -> None:
    facts = LayerFacts("a.b", "linear", "Linear", width, ("c", "d.e"))
    assert layer_facts("a.b", json.loads(json.dumps(layer_body(facts)))) == facts


@pytest.mark.parametrize("phase", ["train", "eval"])
def test_a_reading_comes_back(phase: str) -> None:
    facts = LayerFacts("a", "linear", "Linear", 16)
    spectrum = Spectrum(spectrum_like(16, largest=3.0), 700, {"idle_features": 2.0, "rankme": 7.5})
    reading = Reading(
        layer=facts,
        phase="train" if phase == "train" else "eval",
        spectrum=spectrum,
        samples=70,
        calls=7,
        dropped=3,
        threshold=0.9,
    )
    text, checksum = sealed(KEY, reading_body(reading), packed(spectrum.eigenvalues))
    body = unsealed(KEY, text, checksum, packed(spectrum.eigenvalues))
    back = reading_of(facts, phase, body, packed(spectrum.eigenvalues))
    assert back.layer == facts
    assert (back.phase, back.rows, back.samples, back.calls) == (phase, 700, 70, 7)
    assert (back.dropped, back.threshold) == (3, 0.9)
    assert dict(back.statistics) == dict(reading.statistics)
    assert torch.equal(back.eigenvalues, reading.eigenvalues)


@pytest.mark.parametrize("remainder", [None, Remainder(width=50_257, total=0.1, norm=1 / 3)])
def test_a_sketch_comes_back_and_others_are_as_they_always_were(
    remainder: Remainder | None,
) -> None:
    spectrum = Spectrum(spectrum_like(16, largest=0.03), 700, {}, 0.0, remainder)
    facts = LayerFacts("a", "linear", "Linear", 50_257)
    reading = Reading(facts, "eval", spectrum, samples=7, calls=1, dropped=0, threshold=0.9)
    body = json.loads(json.dumps(reading_body(reading)))
    assert ("remainder" in body) == reading.sketched == (remainder is not None)
    back = reading_of(facts, "eval", body, packed(spectrum.eigenvalues))
    assert back.spectrum.remainder == remainder
    assert repr(dict(back.statistics)) == repr(dict(reading.statistics))


def test_a_snapshot_body_keeps_all_but_the_readings() -> None:
    snapshot = Snapshot(
        step=3,
        metrics={"loss": 0.25},
        unobserved=("a", "b"),
        reasons={"a": "not called", "b": "skipped"},
        disabled={"c": "ShapeError: no"},
        output_layer="d",
    )
    text, checksum = sealed(("snapshot", 3), snapshot_body(snapshot, time=12.5))
    assert unsealed(("snapshot", 3), text, checksum) == {
        "time": 12.5,
        "metrics": {"loss": 0.25},
        "unobserved": ["a", "b"],
        "reasons": {"a": "not called", "b": "skipped"},
        "disabled": {"c": "ShapeError: no"},
        "output_layer": "d",
    }


def test_every_table_has_a_checksum_that_must_be_there() -> None:
    connection = sqlite3.connect(":memory:")
    create_tables(connection)
    query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    tables = [name for (name,) in connection.execute(query)]
    assert set(tables) == {"sessions", "layers", "snapshots", "readings", "summaries"}
    for table in tables:
        columns = {row[1]: row for row in connection.execute(f"PRAGMA table_info({table})")}
        assert columns["checksum"][3] == 1, f"{table}.checksum may be null"
    connection.close()
