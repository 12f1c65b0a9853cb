"""What a record holds is what fathom writes, however right its checksum is."""

import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
import torch

from fathom.errors import DamagedRecordError
from fathom.store.content import content
from fathom.store.records import packed, sealed
from fathom.store.summary import SUMMARY, WRITTEN

SNAPSHOT: dict[str, Any] = {
    "time": 1.5,
    "metrics": {"loss": math.nan, "epoch": 3},
    "unobserved": ["a"],
    "reasons": {"a": "not called"},
    "disabled": {},
    "output_layer": None,
}
LAYER: dict[str, Any] = {"kind": "linear", "module": "Linear", "width": None, "aliases": []}
READING: dict[str, Any] = {
    "rows": 40.5,
    "samples": 40,
    "calls": 1,
    "dropped": 0,
    "padded": 0,
    "threshold": 0.99,
    "measured": {"idle_features": math.nan},
    "rounding": 0.0,
}
REMAINDER = {"width": 100, "total": 3.0, "norm": 0.1}
SPECTRUM = ("spectrum", 4, "eval", "fc")
BLOB = packed(torch.tensor([2.0, 1.0], dtype=torch.float64))


def held(key: tuple[object, ...], body: Any, blob: bytes = b"") -> Any:
    return content(key, *sealed(key, body, blob), blob)


@pytest.mark.parametrize(
    ("key", "body", "blob"),
    [
        (("session", 0), {"model": "x", "settings": {"threshold": 0.9}}, b""),
        (("session", 0), {}, b""),
        (("layer", ""), LAYER, b""),
        (("layer", "fc"), LAYER | {"width": 3, "aliases": ["head"]}, b""),
        (("snapshot", -3), SNAPSHOT, b""),
        (("snapshot", 0), {}, b""),
        (SPECTRUM, READING, BLOB),
        (SPECTRUM, READING | {"remainder": REMAINDER}, BLOB),
    ],
)
def test_what_fathom_writes_comes_back(key: Any, body: Any, blob: bytes) -> None:
    assert held(key, body, blob).keys() == body.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time", "now"),
        ("time", None),
        ("time", 10**400),
        ("metrics", {"loss": "high"}),
        ("metrics", {"loss": None}),
        ("metrics", {"loss": True}),
        ("metrics", {"loss": [1.0]}),
        ("metrics", {"loss": 10**400}),
        ("metrics", [1.0]),
        ("unobserved", "fc"),
        ("unobserved", [1]),
        ("reasons", {"fc": 1}),
        ("disabled", ["fc"]),
        ("output_layer", 3),
        ("covariances", {}),
        ("covariances", {"file": "a", "checksum": 1, "read": 3}),
    ],
)
def test_an_odd_snapshot_is_damaged(name: str, value: object) -> None:
    with pytest.raises(DamagedRecordError, match=rf"in {name}, got .* at snapshot 7"):
        held(("snapshot", 7), SNAPSHOT | {name: value})


@pytest.mark.parametrize("body", [[], "text", 3, None, True])
def test_a_body_that_is_no_object_is_damaged(body: object) -> None:
    with pytest.raises(DamagedRecordError, match="must hold an object"):
        held(("snapshot", 7), body)


@pytest.mark.parametrize(
    ("name", "value"),
    [("kind", 1), ("module", None), ("width", 2.5), ("width", -1), ("aliases", "ab")],
)
def test_an_odd_layer_is_damaged(name: str, value: object) -> None:
    with pytest.raises(DamagedRecordError, match=rf"in {name}, got .* at layer fc"):
        held(("layer", "fc"), LAYER | {name: value})


@pytest.mark.parametrize("name", LAYER)
def test_a_layer_without_a_fact_is_damaged(name: str) -> None:
    with pytest.raises(DamagedRecordError, match=f"must hold {name}, got none at layer fc"):
        held(("layer", "fc"), {key: value for key, value in LAYER.items() if key != name})


def test_a_layer_whose_name_is_none_is_damaged() -> None:
    with pytest.raises(DamagedRecordError, match="a layer's name, got b'fc'"):
        held(("layer", b"fc"), LAYER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", "many"),
        ("rows", -1),
        ("rows", math.nan),
        ("samples", None),
        ("threshold", 0),
        ("threshold", "0.9"),
        ("measured", {"rankme": "x"}),
        ("rounding", []),
        ("remainder", {"width": 3}),
        ("remainder", REMAINDER | {"width": 2.5}),
        ("remainder", REMAINDER | {"total": "x"}),
    ],
)
def test_an_odd_reading_is_damaged(name: str, value: object) -> None:
    with pytest.raises(DamagedRecordError, match=rf"in {name}, got .* at spectrum 4 eval fc"):
        held(SPECTRUM, READING | {name: value}, BLOB)


@pytest.mark.parametrize("name", READING)
def test_a_reading_that_lacks_a_number_is_damaged(name: str) -> None:
    with pytest.raises(DamagedRecordError, match=f"must hold {name}, got none"):
        held(SPECTRUM, {key: value for key, value in READING.items() if key != name}, BLOB)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        BLOB[:8],
        BLOB[:-1],
        np.array(math.nan, "<f8").tobytes() + np.ones(2, "<f4").tobytes(),
        np.array(2, "<f8").tobytes() + np.array([1, -1], "<f4").tobytes(),
    ],
    ids=["none", "no ratio", "half a ratio", "nan", "negative"],
)
def test_eigenvalues_that_are_none_are_damaged(blob: bytes) -> None:
    with pytest.raises(DamagedRecordError, match=rf"eigenvalues, got {len(blob)} bytes"):
        held(SPECTRUM, READING, blob)


@pytest.mark.parametrize(
    ("name", "value"), [("phase", 2), ("status", 9), ("width", 0), (None, None)]
)
def test_an_odd_summary_is_damaged(name: str | None, value: int) -> None:
    numbers = np.ones(2, SUMMARY)
    assert held((WRITTEN, 1), {}, numbers.tobytes()) == {}
    if name is not None:
        numbers[name][1] = value
    blob = numbers.tobytes()[: None if name else -1]
    with pytest.raises(DamagedRecordError, match="numbers of readings"):
        held((WRITTEN, 1), {}, blob)


@pytest.mark.parametrize("settings", [[], {"threshold": "high"}, {"threshold": 3}])
def test_odd_settings_are_damaged(settings: object) -> None:
    with pytest.raises(DamagedRecordError, match="in settings, got"):
        held(("session", 0), {"settings": settings})


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":', '{"a":' + "1" * 5000 + "}"])
def test_a_body_that_is_no_json_is_damaged(text: str) -> None:
    # The checksum of any text is that of its quoted form, which `sealed` writes for no other.
    key = ("snapshot", 1)
    checksum = zlib.crc32(b"", zlib.crc32(json.dumps([*key, text, 0]).encode()))
    with pytest.raises(DamagedRecordError, match="must be JSON, got at snapshot 1"):
        content(key, text, checksum)


def test_what_is_told_of_an_odd_value_is_short() -> None:
    with pytest.raises(DamagedRecordError) as raised:
        held(("snapshot", 7), SNAPSHOT | {"output_layer": ["x" * 1000] * 1000})
    assert len(str(raised.value)) < 800
