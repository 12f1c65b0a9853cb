"""Records that are not what fathom writes, with a right checksum: every command bears them."""

import json
import sqlite3
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fathom
from fathom.cli.main import main
from fathom.store.records import sealed
from made_runs import made_reading, made_run
from screens import Driven, drive

TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "session": ("sessions", ("number",)),
    "layer": ("layers", ("name",)),
    "snapshot": ("snapshots", ("step",)),
    "spectrum": ("readings", ("step", "phase", "layer")),
}

ODD: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "a metric that is text": ("snapshot", lambda body: body | {"metrics": {"loss": "high"}}),
    "a time that is text": ("snapshot", lambda body: body | {"time": "now"}),
    "names that are numbers": ("snapshot", lambda body: body | {"unobserved": [1]}),
    "no object": ("snapshot", lambda body: [1, 2]),
    "a threshold that is text": ("session", lambda body: {"settings": {"threshold": "high"}}),
    "a layer of nothing": ("layer", lambda body: {"kind": "linear"}),
    "a reading without rows": ("spectrum", lambda body: {"samples": 3}),
    "a reading of text": ("spectrum", lambda body: dict.fromkeys(body, "x")),
}

COMMANDS = (
    ("show", "run"),
    ("export", "run", "-o", "-"),
    ("report", "run", "-o", "-"),
    ("plot", "run", "layers"),
    ("plot", "run", "evolution"),
    ("plot", "run", "metrics"),
    ("plot", "run", "spectrum", "--layer", "fc1"),
)


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run in which all records of one kind are odd."""
    run = made_run(
        tmp_path / "run",
        range(3),
        lambda step: [made_reading(f"fc{n}", dimension=3 + n) for n in range(3)],
        metrics=lambda step: {"loss": 1.0},
    )
    kind, change = ODD[request.param]
    table, columns = TABLES[kind]
    database = sqlite3.connect(run / "run.sqlite")
    blob = "eigenvalues" if kind == "spectrum" else "x''"
    rows = database.execute(f"SELECT {', '.join(columns)}, body, {blob} FROM {table}").fetchall()
    where = " AND ".join(f"{each} = ?" for each in columns)
    for *key, body, packed in rows:
        text, checksum = sealed((kind, *key), change(json.loads(body)), packed)
        database.execute(
            f"UPDATE {table} SET body = ?, checksum = ? WHERE {where}", (text, checksum, *key)
        )
    if kind == "spectrum":
        database.execute("DELETE FROM summaries")
    database.commit()
    database.close()
    return run


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_warns_in_a_line_and_goes_on(
    odd: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(odd.parent)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "argv", ["fathom", *arguments])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.raises(SystemExit) as ended:
            main()
    told = capsys.readouterr().err.splitlines()
    assert all(line.startswith("fathom: ") for line in told)
    assert all("record must hold" in line for line in told[:-1])
    assert ended.value.code in (0, None) or "record must hold" in told[-1]


def test_the_terminal_shows_the_rest(odd: Path) -> None:
    async def scene(top: Driven) -> None:
        await top.sees("run", "not live")
        await top.press("m", "escape", "f")
        await top.sees("What there is to know", "record must hold")

    drive(odd, scene)


def test_the_run_names_the_records(odd: Path) -> None:
    with fathom.open_run(odd) as run:
        assert run.damaged
