"""Runs that no training wrote: each is told of, and none takes the others or the server with it."""

import json
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import pytest

from live import Serving, stamps
from live_training import recorded

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


def test_records_that_only_malice_writes_are_told_and_no_fault_of_the_server(
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
        assert answer.status_code == 422
        assert "another program" in answer.json()["error"]
        runs = listed(serving)
        assert "another program" in runs["forged"]["problem"]
        assert runs["good"]["problem"] is None
        assert serving.interrupt() == (0, "")


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
        assert "RecursionError" in runs["deep"]["problem"]
        assert "RecursionError" in runs["settings"]["problem"]
        assert (runs["good"]["problem"], runs["good"]["recorded"]) == (None, 2)
        assert (runs["model"]["model"], runs["model"]["started"]) == (None, None)
        for name in ("deep", "settings", "model"):
            answer = serving.get("api/run", name=name)
            assert answer.status_code == 422
            assert "RecursionError" in answer.json()["error"]
        assert serving.json("api/run", name="good")["stamp"] == found["good"]
        assert serving.interrupt() == (0, "")
