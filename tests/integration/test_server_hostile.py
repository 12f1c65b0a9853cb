"""Runs that no training wrote: each is told of, and none takes the others or the server with it."""

import json
import sqlite3
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from fathom.store.records import sealed
from live import Serving, stamps
from live_training import recorded
from made_runs import made_reading, made_run

DEEP = "[" * 20_000 + "]" * 20_000
"""Too deep for the JSON of Python to read."""

NEARLY = "[" * 800 + "NaN" + "]" * 800
"""Which it reads, and what goes through it step by step does not."""


def forge(run: Path, *, table: str, kind: str, column: str, body: str) -> None:
    """Give all records of a table another body, with the checksum that belongs to it."""
    connection = sqlite3.connect(run / "run.sqlite")
    with connection:
        for (key,) in connection.execute(f"SELECT {column} FROM {table}").fetchall():
            head = json.dumps([kind, key, body, 0])
            connection.execute(
                f"UPDATE {table} SET body = ?, checksum = ? WHERE {column} = ?",
                (body, zlib.crc32(head.encode()), key),
            )
    connection.close()


def snapshots(run: Path, body: str) -> None:
    forge(run, table="snapshots", kind="snapshot", column="step", body=body)


def sessions(run: Path, body: str) -> None:
    forge(run, table="sessions", kind="session", column="number", body=body)


def listed(serving: Serving) -> dict[str, Any]:
    return {run["name"]: run for run in serving.json("api/runs")["runs"]}


def test_records_that_only_malice_writes_are_damaged_and_no_fault_of_the_server(
    tmp_path: Path,
) -> None:
    root = tmp_path / "runs"
    recorded(root / "good")
    snapshots(
        recorded(root / "forged"),
        '{"time": "<b>yesterday</b>", "metrics": [1], "output_layer": {}}',
    )
    with Serving(root) as serving:
        answer = serving.get("api/run", name="forged")
        assert (answer.status_code, answer.json()["times"]) == (200, [None, None])
        runs = listed(serving)
        assert (runs["forged"]["recorded"], runs["forged"]["updated"]) == (2, None)
        assert runs["good"]["problem"] is None
        status, errors = serving.interrupt()
        assert (status, "Traceback" in errors) == (0, False)


def test_records_that_are_nested_too_deep_hide_no_other_run(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    recorded(root / "good")
    snapshots(recorded(root / "deep"), f'{{"time": 1, "x": {DEEP}}}')
    sessions(recorded(root / "settings"), f'{{"settings": {{"a": {DEEP}}}}}')
    sessions(recorded(root / "model"), f'{{"model": {NEARLY}, "started": {NEARLY}}}')
    with Serving(root) as serving, serving.events("deep", "good") as events:
        found = stamps(events, "deep", "good")
        assert None not in found.values()
        while next(events) != ("runs", {}):
            pass
        runs = listed(serving)
        assert list(runs) == ["deep", "good", "model", "settings"]
        assert {run["recorded"] for run in runs.values()} == {2}
        assert runs["deep"]["updated"] is None
        assert (runs["model"]["model"], runs["model"]["started"]) == (None, None)
        for name in ("deep", "settings"):
            assert serving.get("api/run", name=name).status_code == 200
        answer = serving.get("api/run", name="model")
        assert (answer.status_code, "RecursionError" in answer.text) == (422, True)
        assert serving.json("api/run", name="good")["stamp"] == found["good"]
        status, errors = serving.interrupt()
        assert (status, "Traceback" in errors) == (0, False)


ENDLESS = "WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k) "
"""Whoever asks for all of it waits for ever."""


@pytest.mark.parametrize(
    "statement",
    [
        f"CREATE VIEW snapshots AS {ENDLESS} SELECT n AS step, '' AS body, 1 AS checksum FROM k",
        f"CREATE VIEW mine AS {ENDLESS} SELECT n FROM k",
        "CREATE TRIGGER t AFTER INSERT ON sessions BEGIN DELETE FROM readings; END",
        "CREATE VIRTUAL TABLE texts USING fts5(body)",
        "CREATE TABLE mine (n, big AS (hex(zeroblob(1000000000))))",
    ],
)
def test_what_would_be_computed_to_read_a_run_is_refused(tmp_path: Path, statement: str) -> None:
    root = tmp_path / "runs"
    recorded(root / "good")
    connection = sqlite3.connect(recorded(root / "odd") / "run.sqlite")
    with connection:
        if "snapshots" in statement:
            connection.execute("ALTER TABLE snapshots RENAME TO kept")
        connection.execute(statement)
    connection.close()
    with Serving(root) as serving:
        runs = listed(serving)
        assert "odd must hold plain tables, got 'CREATE" in runs["odd"]["problem"].replace(
            "open_run: path", "odd"
        )
        assert (runs["good"]["problem"], runs["good"]["recorded"]) == (None, 2)
        answer = serving.get("api/run", name="odd")
        assert answer.status_code == 422
        assert "plain tables" in answer.json()["error"]


def test_a_view_in_the_disguise_of_a_table_is_refused_too(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    connection = sqlite3.connect(recorded(root / "odd") / "run.sqlite", isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = ? WHERE name = 'snapshots'",
        (f"CREATE VIEW snapshots AS {ENDLESS} SELECT n AS step, 1 AS checksum FROM k",),
    )
    connection.close()
    with Serving(root) as serving:
        assert listed(serving)["odd"]["problem"] is not None
        assert serving.get("api/run", name="odd").status_code == 422


def interior(child: int, size: int) -> bytes:
    """A page of a table's tree, full of ways to one and the same child."""
    cells = (size - 12) // 7
    page = bytearray(size)
    start = size - 5 * cells
    struct.pack_into(">BHHHBI", page, 0, 5, 0, cells, start, 0, child)
    for number in range(cells):
        place = start + 5 * number
        struct.pack_into(">H", page, 12 + 2 * number, place)
        struct.pack_into(">IB", page, place, child, 1)
    return bytes(page)


@pytest.mark.parametrize("table", ["snapshots", "sessions"])
def test_pages_that_name_one_another_are_not_gone_through_for_ever(
    tmp_path: Path, table: str
) -> None:
    root = tmp_path / "runs"
    recorded(root / "good")
    path = recorded(root / "odd") / "run.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = delete")
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    places = dict(connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall())
    with connection:
        connection.execute("CREATE TABLE more (x)")
        connection.execute("INSERT INTO more VALUES (zeroblob(?))", (8 * size,))
    (last,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    pages = bytearray(path.read_bytes())

    def put(number: int, page: bytes) -> None:
        pages[(number - 1) * size : number * size] = page

    place = places[table]
    put(last, bytes(pages[(place - 1) * size : place * size]))
    put(last - 1, interior(last, size))
    put(last - 2, interior(last - 1, size))
    put(place, interior(last - 2, size))
    path.write_bytes(pages)
    with Serving(root) as serving:
        runs = listed(serving)
        assert "must be readable, got: interrupted" in runs["odd"]["problem"]
        assert runs["good"]["problem"] is None
        assert serving.get("api/run", name="odd").status_code == 422


def test_tables_and_indexes_of_others_do_no_harm(tmp_path: Path) -> None:
    """As those of `.recover`, or of who looks something up often."""
    connection = sqlite3.connect(recorded(tmp_path / "runs" / "a") / "run.sqlite")
    with connection:
        connection.execute("CREATE TABLE lost_and_found (rootpgno INTEGER, pgno INTEGER, c0)")
        connection.execute("CREATE UNIQUE INDEX mine ON snapshots (body)")
        connection.execute("ANALYZE")
    connection.close()
    with Serving(tmp_path / "runs") as serving:
        assert listed(serving)["a"]["problem"] is None
        assert serving.json("api/run", name="a")["recorded"] == 2


def test_of_very_many_layers_fewer_steps_are_held(tmp_path: Path) -> None:
    """At most 100,000 readings of a phase, so that a step is seen in time."""
    names = [f"block.{number}.linear" for number in range(500)]
    made_run(
        tmp_path / "runs" / "wide",
        range(1),
        lambda step: [made_reading(name, dimension=5) for name in names],
    )
    connection = sqlite3.connect(tmp_path / "runs" / "wide" / "run.sqlite")
    (blob,) = connection.execute("SELECT numbers FROM summaries").fetchone()
    with connection:
        for step in range(1, 450):
            body, seal = sealed(("snapshot", step), {"time": 1e9 + step})
            connection.execute("INSERT INTO snapshots VALUES (?, ?, ?)", (step, body, seal))
            seal = sealed(("summary", step), {}, blob)[1]
            connection.execute("INSERT INTO summaries VALUES (?, ?, ?)", (step, blob, seal))
    connection.close()
    with Serving(tmp_path / "runs") as serving:
        document = serving.json("api/run", name="wide")
    assert document["recorded"] == 450
    assert document["steps"] == [*range(0, 449, 4), 449]
    assert len(document["phases"]["eval"]["average"]) == len(document["steps"])
