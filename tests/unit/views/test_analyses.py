"""What lies beside a run is taken in as it comes, and nothing that could do harm is."""

import json
import os
import zlib
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fathom
from analysed_runs import accuracy, add_curve, add_probes, add_similarity, analysed, unanalysed
from fathom.errors import RunError
from fathom.probes import KIND, Probes
from fathom.store.analyses import read_analyses, write_analysis
from fathom.views.analyses import Analyses
from fathom.views.document import Document, run_document
from fathom.views.findings import Finding, findings
from made_runs import made_reading, made_run


def document(folder: Path) -> Document:
    with fathom.open_run(folder) as run:
        return run_document(run.timeline(), name="made")


def shares(packed: dict[str, Any], *, below: float = 0.0) -> np.ndarray:
    values = np.frombuffer(b64decode(packed["data"]), "<u2").astype(float)
    values[values == 65535] = np.nan
    return values.reshape(packed["rows"], packed["columns"]) / 10_000 + below


def test_a_run_without_analyses_has_none_in_its_document(tmp_path: Path) -> None:
    unanalysed(tmp_path, live=False)
    found = document(tmp_path)
    assert found["probes"] is found["live_probes"] is None
    assert found["projections"] == found["similarities"] == found["left_out"] == []


def test_the_document_has_what_was_found(tmp_path: Path) -> None:
    found = document(analysed(tmp_path))
    probes = found["probes"]
    assert probes["steps"] == [0, 10]
    assert probes["held_out"] == [400, 400]
    assert probes["unconverged"] == [[0], [0]]
    expected = [[accuracy(place, 6, step) for place in range(6)] for step in (0, 10)]
    np.testing.assert_allclose(shares(probes["eval"]), expected, atol=1e-4)
    np.testing.assert_allclose(shares(probes["train"]), np.add(expected, 0.1), atol=1e-4)
    live = shares(found["live_probes"])
    assert live.shape == (3, 6)
    assert np.isnan(live[:, 0]).all()
    assert live[2, 5] == pytest.approx(accuracy(5, 6, 20) - 0.05, abs=1e-4)
    assert [each["name"] for each in found["projections"]] == ["step 10", "now"]
    with fathom.open_run(tmp_path) as run:
        curve = run.projections()[0]
        (layers,) = run.similarities().values()
    shown = found["projections"][0]
    assert {each["name"]: each["needed"] for each in shown["layers"]} == curve.needed()
    assert shown["random"] == pytest.approx(curve.random)
    assert [each["name"] for each in found["similarities"]] == ["layers", "growth"]
    values = shares(found["similarities"][0]["values"], below=-3.0)
    assert np.isnan(values[1]).all()
    assert np.isnan(values[:, 1]).all()
    others = np.ix_([0, 2, 3, 4, 5], [0, 2, 3, 4, 5])
    np.testing.assert_allclose(values[others], layers.values[others], atol=1e-4)
    assert layers.values[others].min() < 0


def test_only_news_are_read(tmp_path: Path) -> None:
    names = unanalysed(tmp_path)
    analyses = Analyses(tmp_path)
    assert not analyses.look()
    add_probes(tmp_path, names, step=0)
    assert analyses.look()
    assert not analyses.look()
    (before,) = analyses.probes
    add_probes(tmp_path, names, step=20)
    assert analyses.look()
    assert [each.step for each in analyses.probes] == [0, 20]
    assert analyses.probes[0] is before
    (tmp_path / "analyses" / KIND / "step0.json").unlink()
    assert analyses.look()
    assert [each.step for each in analyses.probes] == [20]


def test_a_folder_that_rests_is_looked_at_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = unanalysed(tmp_path)
    add_probes(tmp_path, names, step=0)
    analyses = Analyses(tmp_path)
    monkeypatch.setattr("fathom.views.analyses._SETTLES", -1.0)
    assert analyses.look()
    with monkeypatch.context() as patch:
        patch.setattr("fathom.views.analyses.analysis_files", None)
        assert not analyses.look()
    os.utime(tmp_path / "analyses" / KIND, ns=(0, 0))
    add_probes(tmp_path, names, step=20)
    assert analyses.look()
    assert [each.step for each in analyses.probes] == [0, 20]


def sealed(body: object) -> str:
    text = json.dumps(body)
    return json.dumps({"checksum": zlib.crc32(text.encode()), "body": text})


def test_odd_files_are_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = unanalysed(tmp_path)
    good = add_probes(tmp_path, names, step=0)
    place = tmp_path / "analyses" / KIND
    (tmp_path / "outside").write_text(sealed(good.to_body()))
    (place / "link.json").symlink_to(tmp_path / "outside")
    (place / "torn.json").write_text("{")
    (place / "odd.json").write_text(sealed({"layers": [[]], "left_out": {}, "step": 1}))
    (place / "nested.json").write_text("[" * 100_000)
    (place / "large.json").write_text(" " * 3000 + sealed(good.to_body()))
    (place / "folder.json").mkdir()
    (place / "<b>.json").write_text("{}")
    os.mkfifo(place / "pipe.json")
    monkeypatch.setattr("fathom.views.analyses._BYTES", 3000)
    found = document(tmp_path)
    assert found["probes"]["steps"] == [0]
    assert set(found["left_out"]) == {
        f"{KIND}/{name}" for name in ("folder", "large", "link", "nested", "odd", "pipe", "torn")
    }


def test_what_is_beyond_the_bounds_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = unanalysed(tmp_path)
    for step in (0, 10):
        add_probes(tmp_path, names, step=step)
        add_curve(tmp_path, names, step=step)
    add_similarity(tmp_path, names)
    monkeypatch.setattr("fathom.views.analysis_documents._CURVED", 50)
    monkeypatch.setattr("fathom.views.analysis_documents._CELLS", 35)
    monkeypatch.setattr("fathom.views.analysis_documents._PROBED", 6)
    found = document(tmp_path)
    assert found["probes"]["steps"] == [10]
    assert [each["step"] for each in found["projections"]] == [10]
    assert found["left_out"] == ["projection/step0", "similarity/layers"]
    monkeypatch.setattr("fathom.views.analyses._FILES", 1)
    assert document(tmp_path)["left_out"] == [
        *(f"{kind}/step{step}" for kind in ("probes", "projection") for step in (0, 10)),
        "similarity/layers",
    ]


@pytest.mark.parametrize("which", ["analyses", "analyses/probes"])
def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path, which: str) -> None:
    names = unanalysed(tmp_path / "run")
    found = add_probes(tmp_path / "run", names, step=0)
    moved = tmp_path / "elsewhere"
    (tmp_path / "run" / which).rename(moved)
    (tmp_path / "run" / which).symlink_to(moved, target_is_directory=True)
    assert read_analyses(tmp_path / "run", KIND) == ({}, [])
    assert document(tmp_path / "run")["probes"] is None
    with pytest.raises(RunError, match="got a link at"):
        write_analysis(tmp_path / "run", KIND, found.name, found.to_body())


def said(folder: Path, *probes: Probes) -> list[Finding]:
    with fathom.open_run(folder) as run:
        found = findings(run.timeline(), phase="eval", probes=probes)
    return [each for each in found if each.kind == "probes"]


def test_words_say_from_where_on_layers_add_nothing(tmp_path: Path) -> None:
    names = unanalysed(tmp_path)
    # Of another step than the last they say nothing of the saturation that is judged.
    earlier = add_probes(tmp_path, names, step=10)
    last = add_probes(tmp_path, names, step=20)
    assert said(tmp_path, earlier) == []
    (finding,) = said(tmp_path, earlier, last)
    assert finding.text.startswith(
        "From block.2 on the probes' eval accuracy no longer rises (70.0%, at most 70.0% after it; "
        "standard error 2.3% of 400 samples), and the 2 layers after it are low, at most 10%"
    )
    assert finding.layers == ("block.3", "block.4")
    with fathom.open_run(tmp_path) as run:
        timeline = run.timeline()
    shown = document(tmp_path)["phases"]["eval"]["findings"]
    assert finding.text in [each["text"] for each in shown]
    assert "probes" not in {each.kind for each in findings(timeline, phase="eval")}


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (4, {"eval_accuracy": 0.75}),  # the last but one still adds: 2.2 standard errors
        (5, {"eval_accuracy": 0.73}),
        (3, {"converged": False}),  # so that its accuracy may be too low
        (4, {"layer": "of which nothing is known"}),
    ],
)
def test_words_are_silent_where_probes_do_not_say_so(
    tmp_path: Path, place: int, changes: dict[str, Any]
) -> None:
    found = add_probes(tmp_path, unanalysed(tmp_path), step=20)
    probes = list(found.probes)
    probes[place] = replace(probes[place], **changes)
    assert said(tmp_path, replace(found, probes=tuple(probes))) == []


def test_words_are_silent_where_the_model_is_better_or_the_layers_are_high(tmp_path: Path) -> None:
    names = unanalysed(tmp_path / "run")
    found = add_probes(tmp_path / "run", names, step=20)
    assert said(tmp_path / "run", found) != []
    assert said(tmp_path / "run", replace(found, model_accuracy=0.73)) == []
    high = made_run(
        tmp_path / "high",
        [20],
        lambda step: [made_reading(name, dimension=12) for name in names],
        output_layer="head",
    )
    assert said(high, found) == []
