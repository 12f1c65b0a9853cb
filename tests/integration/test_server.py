"""What the live page's server answers, asked as the page asks it."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import fathom
from fathom.views.assets import ASSETS
from fathom.views.document import run_document, spectrum_document
from live import Serving
from live_training import record, recorded, small_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "runs"
    recorded(root / "first", steps=3)
    recorded(root / "sweep" / "wide", steps=1, width=12)
    damaged = recorded(root / "damaged") / "run.sqlite"
    damaged.write_bytes(damaged.read_bytes()[:5000] + b"\0" * 3000)
    other = root / "other" / "run.sqlite"
    other.parent.mkdir()
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE taxes (amount)")
    connection.close()
    return root


@pytest.fixture(scope="module")
def serving(folder: Path) -> Iterator[Serving]:
    with Serving(folder) as running:
        yield running


def by_name(answer: dict[str, Any]) -> dict[str, Any]:
    return {run["name"]: run for run in answer["runs"]}


def test_the_list_has_every_run_and_what_is_wrong_with_one(serving: Serving) -> None:
    answer = serving.json("api/runs")
    runs = by_name(answer)
    assert answer["title"] == "runs"
    assert list(runs) == ["damaged", "first", "sweep/wide"]
    first = runs["first"]
    assert first["problem"] is None
    assert (first["live"], first["recorded"], first["last_step"], first["layers"]) == (
        False,
        3,
        2,
        2,
    )
    assert first["model"] == "torch.nn.modules.container.Sequential"
    run = fathom.open_run(serving.folder / "first")
    assert first["average"] == pytest.approx(run.snapshot().average_saturation("eval"))
    assert first["started"] == run.facts["started"]
    assert first["updated"] == run.timeline().times[-1]
    assert "damaged/run.sqlite must be readable" in runs["damaged"]["problem"]
    assert str(serving.folder) not in json.dumps(answer)


def test_a_run_is_its_document_and_a_stamp(serving: Serving, folder: Path) -> None:
    for name in ("first", "sweep/wide"):
        answer = serving.json("api/run", name=name)
        stamp = answer.pop("stamp")
        expected = run_document(fathom.open_run(folder / name).timeline(), name=name)
        assert answer == json.loads(json.dumps(expected))
        assert serving.json("api/run", name=name)["stamp"] == stamp


def test_a_spectrum_is_as_recorded_at_the_runs_threshold(serving: Serving, folder: Path) -> None:
    question = {"name": "first", "phase": "train", "layer": "2", "step": 1}
    answer = serving.json("api/spectrum", **question)
    spectrum = fathom.open_run(folder / "first").spectrum("2", step=1, phase="train")
    expected = spectrum_document(spectrum, threshold=0.99)
    assert answer == json.loads(json.dumps({**question, **expected}))


@pytest.mark.parametrize(
    ("path", "question", "status", "words"),
    [
        ("api/run", {"name": "nowhere"}, 404, "nowhere"),
        ("api/run", {"name": "other"}, 404, "other"),
        ("api/run", {"name": "damaged"}, 422, "damaged/run.sqlite"),
        ("api/run", {}, 400, "name must be given once"),
        ("api/run", {"name": ["first", "damaged"]}, 400, "name must be given once"),
        ("api/spectrum", {"name": "first"}, 400, "step must be given once"),
        ("api/events", {"name": [str(n) for n in range(17)]}, 400, "at most 16"),
        ("api/nothing", {}, 404, "Not Found"),
        ("api/runs/", {}, 404, "Not Found"),
        ("page/", {}, 404, "Not Found"),
        ("page/vendor/README.md", {}, 404, "Not Found"),
        ("page/vendor/../../assets.py", {}, 404, "Not Found"),
        ("index.html", {}, 404, "Not Found"),
    ],
)
def test_a_wrong_question_is_answered_in_words(
    serving: Serving, path: str, question: dict[str, Any], status: int, words: str
) -> None:
    answer = serving.get(path, **question)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert words in answer.json()["error"]
    assert str(serving.folder) not in answer.text


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"phase": "test"}, 400, "phase must be one of train, eval"),
        ({"layer": "9"}, 404, "layer must be one with a reading, got '9'"),
        ({"step": 99}, 404, "step must be one of the run, got 99"),
        ({"step": -1}, 404, "step must be one of the run, got -1"),
        ({"step": "1.5"}, 400, "step must be a whole number, got '1.5'"),
        ({"step": "²"}, 400, "step must be a whole number"),
        ({"step": "9" * 5000}, 400, "step must be a whole number"),
        ({"step": "9" * 19}, 404, "step must be one of the run"),
        ({"name": "damaged"}, 422, "damaged/run.sqlite"),
        ({"name": "../runs/first"}, 404, "name must be a run"),
    ],
)
def test_a_wrong_question_for_a_spectrum_too(
    serving: Serving, change: dict[str, Any], status: int, words: str
) -> None:
    question = {"name": "first", "phase": "eval", "layer": "0", "step": 1, **change}
    answer = serving.get("api/spectrum", **question)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_a_damaged_spectrum_is_told(tmp_path: Path) -> None:
    path = recorded(tmp_path / "runs" / "bent") / "run.sqlite"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE readings SET eigenvalues = zeroblob(length(eigenvalues))")
    connection.close()
    with Serving(tmp_path / "runs") as serving:
        answer = serving.get("api/spectrum", name="bent", phase="eval", layer="0", step=1)
        assert answer.status_code == 422
        assert "spectrum 1 eval 0" in answer.json()["error"]
        assert serving.json("api/run", name="bent")["recorded"] == 2


def test_the_page_and_its_files_are_served_and_nothing_else_of_the_package(
    serving: Serving,
) -> None:
    page = serving.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name, kind in ASSETS.items():
        answer = serving.get(f"page/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["cache-control"] == "no-cache"


def test_data_is_compressed_for_those_who_take_it(serving: Serving) -> None:
    plain = httpx.get(serving.url.join("api/runs"), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    refused = httpx.get(serving.url.join("api/runs"), headers={"Accept-Encoding": "br, gzip;q=0"})
    assert "content-encoding" not in refused.headers
    packed = httpx.get(serving.url.join("api/runs"), headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "Accept-Encoding"
    assert packed.json() == plain.json() == refused.json()


def test_head_is_get_without_a_body(serving: Serving) -> None:
    for path in ("/", "api/runs", "api/run?name=first", "api/events?name=first", "nothing"):
        head = httpx.head(serving.url.join(path), timeout=30)
        assert head.content == b""
        if "events" not in path:
            got = httpx.get(serving.url.join(path))
            assert head.status_code == got.status_code
            assert head.headers["content-length"] == got.headers["content-length"]


def test_nothing_is_written(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "runs" / "kept")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with Serving(tmp_path / "runs") as serving:
        serving.json("api/runs")
        serving.json("api/run", name="kept")
        serving.json("api/spectrum", name="kept", phase="eval", layer="0", step=0)
        assert serving.interrupt() == (0, "")
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    # SQLite's index of what is not in the file yet; of a run that is not written it holds nothing.
    assert {
        name: content for name, content in after.items() if before.get(name) != content
    }.keys() <= {
        "run.sqlite-shm",
        "run.sqlite-wal",
    }
    assert after.get("run.sqlite-wal", b"") == b""


def test_many_runs_and_odd_readings_are_served(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    model = small_model()
    with fathom.watch(model, root / "odd") as monitor:
        record(monitor, model, -5)
        monitor.snapshot(step=2**62, loss=np.nan, gain=np.inf)
    for number in range(40):
        shutil.copytree(root / "odd", root / f"group {number % 3}" / f"copy {number}")
    with Serving(root) as serving:
        runs = by_name(serving.json("api/runs"))
        assert len(runs) == 41
        assert {run["last_step"] for run in runs.values()} == {str(2**62)}
        for name in list(runs)[:35]:
            assert serving.json("api/run", name=name)["steps"] == [-5, str(2**62)]
