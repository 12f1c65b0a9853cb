import json
import math
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import fathom
from fathom.spectral.spectrum import Spectrum
from fathom.store.summary import STATUSES
from fathom.views.document import json_text, run_document, spectrum_document
from fathom.views.findings import findings
from fathom.views.numbers import packed
from made_runs import made_reading, made_run
from recorded import HOSTILE, hostile, small

NONE = {"u1": 255, "u2": 65535}


def unpacked(document: dict[str, Any]) -> NDArray[np.float64]:
    """Read a packed array as the page does."""
    values = np.frombuffer(b64decode(document["data"]), f"<{document['type']}").astype(float)
    values[values == NONE.get(document["type"], math.nan)] = math.nan
    return values.reshape(document["rows"], document["columns"])


@pytest.mark.parametrize(
    ("most", "kind"), [(254, "u1"), (255, "u2"), (65534, "u2"), (65535, "f4"), (2**24, "f4")]
)
def test_counts_are_packed_in_as_little_as_holds_them(most: int, kind: str) -> None:
    values = np.array([[0.0, math.nan, most], [1.0, 2.0, math.nan]])
    document = packed(values)
    assert document["type"] == kind
    np.testing.assert_array_equal(unpacked(document), values)


def test_rows_that_are_all_alike_are_packed_once() -> None:
    document = packed(np.array([[1.0, math.nan]] * 5))
    assert (document["rows"], document["columns"]) == (1, 2)
    assert packed(np.array([[1.0, 2.0], [1.0, 3.0]]))["rows"] == 2


def test_nothing_and_one_step_can_be_packed() -> None:
    assert unpacked(packed(np.empty((0, 3)))).shape == (0, 3)
    assert unpacked(packed(np.full((2, 1), math.nan))).tolist() == [
        [pytest.approx(math.nan, nan_ok=True)]
    ]


def test_a_run_says_its_numbers_at_every_step(tmp_path: Path) -> None:
    with fathom.open_run(small(tmp_path / "run")) as run:
        timeline = run.timeline()
        document = run_document(timeline, name="a name")
        assert document["name"] == "a name"
        assert document["steps"] == run.steps == [0, 10, 20, 30]
        assert document["recorded"] == 4
        assert [layer["name"] for layer in document["layers"]] == run.layers
        assert document["output_layer"] == "head"
        assert document["metrics"]["accuracy"] == [0.0, 0.1, 0.2, 0.3]
        for phase, packs in document["phases"].items():
            widths = np.array([layer["width"] for layer in document["layers"]])
            saturation = unpacked(packs["dimension"]) / widths
            assert len(saturation) == 4
            np.testing.assert_allclose(saturation, run.statistic("saturation", phase=phase))
            snapshot = run.snapshot()
            status = unpacked(packs["status"])[-1]
            readings = snapshot.phase(phase).values()
            assert [STATUSES[int(each)] for each in status] == [each.status for each in readings]
            assert packs["samples"] == [each.samples for each in readings]
            assert packs["average"][-1] == pytest.approx(
                snapshot.average_saturation(phase), abs=1e-4
            )
            assert [each["text"] for each in packs["findings"]] == [
                each.text for each in findings(timeline, phase=phase)
            ]


def test_what_is_not_known_of_a_sketch_is_null_and_what_is_not_finite_too(tmp_path: Path) -> None:
    with fathom.open_run(hostile(tmp_path)) as run:
        document = run_document(run.timeline(), name=HOSTILE[0])
        sketched = run.snapshot().eval[f"model.{HOSTILE[0]}"]
    assert math.isnan(sketched.intrinsic_dimension)
    assert sketched.at_least > 1
    packs = document["phases"]["eval"]
    assert np.isnan(unpacked(packs["dimension"])[-1][0])
    assert unpacked(packs["at_least"])[-1][0] == sketched.at_least
    assert document["metrics"] == {
        HOSTILE[0]: [None, 3.0, None],
        "endless": [None] * 3,
        "huge": [1e300] * 3,
        **{name: [1.0] * 3 for name in HOSTILE[1:]},
    }
    assert list(document["unobserved"]) == ["never"]


def test_layers_that_begin_and_end_alike_have_names_of_their_own(tmp_path: Path) -> None:
    names = [
        f"model.encoder.{part}.output_projection.{deep}"
        for part in ("attention", "adapter")
        for deep in ("weight_normalised", "with_a_name_that_is_far_too_long_for_a_bar")
    ]
    path = made_run(
        tmp_path / "run", [0], lambda step: [made_reading(name, dimension=2) for name in names]
    )
    with fathom.open_run(path) as run:
        document = run_document(run.timeline(), name="x")
    assert document["prefix"] == "model.encoder."
    for kind, most in (("label", 26), ("brief", 16)):
        shown = [layer[kind] for layer in document["layers"]]
        assert len(set(shown)) == len(names)
        assert max(map(len, shown)) <= most


def test_a_step_that_javascript_has_no_number_for_is_text(tmp_path: Path) -> None:
    with fathom.open_run(hostile(tmp_path)) as run:
        assert run_document(run.timeline(), name="x")["steps"] == [-5, 0, str(2**60)]


def test_a_thinned_spectrum_keeps_both_ends_and_the_dimension() -> None:
    values = torch.exp(-0.01 * torch.arange(1000, dtype=torch.float64))
    spectrum = Spectrum(values, 50_000, {"idle_features": 0.0})
    document = spectrum_document(spectrum, threshold=0.9)
    dimension = fathom.intrinsic_dimension(values, threshold=0.9)
    assert document["dimension"] == dimension
    assert len(document["rank"]) <= 66
    assert {1, dimension, 1000} <= set(document["rank"])
    share = dict(zip(document["rank"], document["share"], strict=True))
    assert share[dimension] >= 0.9
    assert share[1000] == 1
    for rank, value in zip(document["rank"], document["value"], strict=True):
        assert value == pytest.approx(float(values[rank - 1]), rel=1e-3)


def test_a_spectrum_of_zeros_has_no_dimension_and_no_share() -> None:
    spectrum = Spectrum(torch.zeros(5, dtype=torch.float64), 100, {"idle_features": 1.0})
    document = spectrum_document(spectrum, threshold=0.99)
    assert document["share"] == [0.0] * 5
    assert json.loads(json_text(document)) == document


@pytest.mark.parametrize("name", HOSTILE)
def test_json_inside_html_ends_no_script(name: str) -> None:
    text = json_text({name: [name, math.inf, {"x": math.nan}]})
    assert not set("<>&\u2028\u2029") & set(text)
    assert text.isascii()
    assert json.loads(text) == {name: [name, None, {"x": None}]}
