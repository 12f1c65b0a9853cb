"""Damaged bytes are reported by name, and cost no more than their own record."""

import random
import re
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fathom

STEPS = 3
LAYERS = ("0", "2")
Content = dict[tuple[int, str, str], bytes]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4))
    with fathom.watch(model, folder, keep="covariance", budget=None) as monitor:
        for step in range(STEPS):
            for training in (True, False):
                model.train(training)
                model(torch.randn(41 + step, 6))
            monitor.snapshot(step=step, loss=0.6180339887498949 / (step + 1))
    assert not list(folder.glob("*-wal")), "the closed run is one file"
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the run, to damage."""
    return Path(shutil.copytree(original, tmp_path / "run"))


def spectra(run: fathom.Run, steps: range = range(STEPS)) -> Content:
    return {
        (step, phase, layer): run.spectrum(layer, step=step, phase=phase)
        .eigenvalues.numpy()
        .tobytes()
        for step in steps
        for phase in ("train", "eval")
        for layer in LAYERS
    }


def stored(folder: Path, query: str) -> bytes:
    """The bytes of values that lie beside each other in the file."""
    connection = sqlite3.connect(folder / "run.sqlite")
    connection.text_factory = bytes
    (values,) = connection.execute(query).fetchall()
    connection.close()
    return b"".join(
        # SQLite leaves out leading zeros of numbers.
        value.to_bytes(4, "big").lstrip(b"\0") if isinstance(value, int) else value
        for value in values
    )


def flip(folder: Path, value: bytes, *, at: int, bit: int) -> None:
    """Flip one bit of a value in the database file."""
    path = folder / "run.sqlite"
    data = bytearray(path.read_bytes())
    assert data.count(value) == 1
    data[data.index(value) + at] ^= 1 << bit
    path.write_bytes(data)


READING = "FROM readings WHERE step = 1 AND phase = 'eval' AND layer = '2'"


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize(
    ("columns", "at"),
    [("body, eigenvalues", 3), ("body, eigenvalues", -9), ("checksum", 1)],
    ids=["body", "eigenvalues", "checksum"],
)
def test_a_damaged_reading_is_named_and_the_rest_is_read(
    original: Path, folder: Path, columns: str, at: int, bit: int
) -> None:
    value = stored(folder, f"SELECT {columns} {READING}")
    flip(folder, value, at=at % len(value), bit=bit)
    with fathom.open_run(original) as run:
        whole = spectra(run)
        wanted = run.statistic("saturation")
    with fathom.open_run(folder) as run:
        assert run.damaged == ["spectrum 1 eval 2"]
        with pytest.raises(fathom.DamagedRecordError, match="spectrum 1 eval 2"):
            run.spectrum("2", step=1)
        for step, phase, layer in whole.keys() - {(1, "eval", "2")}:
            values = run.spectrum(layer, step=step, phase=phase).eigenvalues
            assert values.numpy().tobytes() == whole[step, phase, layer]
        with pytest.warns(fathom.FathomWarning, match="spectrum 1 eval 2") as caught:
            saturation = run.statistic("saturation")
        assert len(caught) == 1
        # It has been told, and a second warning would be an error here.
        snapshot = run.snapshot(1)
        wanted[1, 1] = np.nan
        np.testing.assert_array_equal(saturation, wanted)
        assert list(snapshot.eval) == ["0"]
        assert list(snapshot.train) == ["0", "2"]
        assert not np.isnan(run.statistic("saturation", phase="train")).any()
        assert run.metrics["loss"].shape == (STEPS,)


def test_damage_is_told_again_by_a_run_that_is_opened_anew(folder: Path) -> None:
    flip(folder, stored(folder, f"SELECT eigenvalues {READING}"), at=20, bit=3)
    for _ in range(2):
        with (
            fathom.open_run(folder) as run,
            pytest.warns(fathom.FathomWarning, match="spectrum 1 eval 2"),
        ):
            run.statistic("saturation")


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("column", ["body", "checksum"])
def test_damaged_metrics_are_named_and_the_spectra_are_read(
    original: Path, folder: Path, column: str, bit: int
) -> None:
    value = stored(folder, f"SELECT {column} FROM snapshots WHERE step = 1")
    at = value.index(b"0.309") + 3 if column == "body" else 2
    flip(folder, value, at=at, bit=bit)
    with fathom.open_run(original) as run:
        whole = spectra(run)
        loss = run.metrics["loss"]
    with fathom.open_run(folder) as run:
        assert run.damaged == ["snapshot 1"]
        with pytest.warns(fathom.FathomWarning, match="snapshot 1") as caught:
            metrics = run.metrics["loss"]
        assert len(caught) == 1
        assert run.snapshot(1).metrics == {}
        np.testing.assert_array_equal(metrics, [loss[0], np.nan, loss[2]])
        assert run.steps == [0, 1, 2]
        assert spectra(run) == whole
        assert not np.isnan(run.statistic("saturation")).any()


@pytest.mark.parametrize("bit", [0, 7])
def test_a_damaged_layer_is_named_and_its_spectra_are_read(
    original: Path, folder: Path, bit: int
) -> None:
    flip(folder, stored(folder, "SELECT body FROM layers WHERE name = '2'"), at=12, bit=bit)
    with fathom.open_run(original) as run:
        whole = spectra(run)
    with fathom.open_run(folder) as run:
        assert run.damaged == ["layer 2"]
        with pytest.warns(fathom.FathomWarning, match="layer 2"):
            assert run.layers == list(LAYERS)
        assert spectra(run) == whole
        assert run.statistic("saturation").shape == (STEPS, 2)


@pytest.mark.parametrize("bit", [0, 7])
def test_a_damaged_session_is_named_and_the_rest_is_read(
    original: Path, folder: Path, bit: int
) -> None:
    flip(folder, stored(folder, "SELECT body FROM sessions"), at=15, bit=bit)
    with fathom.open_run(original) as run:
        whole = spectra(run)
    with fathom.open_run(folder) as run:
        assert run.damaged == ["session 0"]
        with pytest.warns(fathom.FathomWarning, match="session 0"):
            assert run.facts == {}
        assert spectra(run) == whole
    with pytest.raises(fathom.RunError, match="session 0"):
        fathom.watch(nn.Linear(6, 9), folder, resume=True, budget=None)


def test_a_key_that_changed_its_type_is_damage(folder: Path) -> None:
    """One flipped bit of a record's header makes bytes of a text."""
    connection = sqlite3.connect(folder / "run.sqlite")
    with connection:
        connection.execute(
            "UPDATE readings SET phase = CAST(phase AS BLOB) WHERE step = 1 AND layer = '2' "
            "AND phase = 'eval'"
        )
    connection.close()
    with fathom.open_run(folder) as run:
        assert len(run.damaged) == 1
        assert run.spectrum("0", step=1).width == 9


def test_a_damaged_key_never_hides_a_reading_unnoticed(original: Path, folder: Path) -> None:
    """Wherever the file keeps the key: in the record, and in an index of the records."""
    data = (original / "run.sqlite").read_bytes()
    places = [found.start() for found in re.finditer(rb"eval2", data)]
    assert len(places) >= STEPS
    with fathom.open_run(original) as run:
        whole = spectra(run)
    for place in places:
        damaged = bytearray(data)
        damaged[place + 4] ^= 1
        (folder / "run.sqlite").write_bytes(damaged)
        with fathom.open_run(folder) as run:
            if not run.damaged:
                assert spectra(run) == whole


def reads(run: fathom.Run) -> list[Callable[[], object]]:
    """Every way to read a run."""
    return [
        lambda: run.steps,
        lambda: run.layer_facts,
        lambda: run.metrics,
        lambda: run.sessions,
        lambda: run.damaged,
        lambda: run.statistic("saturation"),
        lambda: run.statistic("rankme", phase="train"),
        *(lambda step=step: run.snapshot(step) for step in range(STEPS)),
    ]


def test_a_flipped_bit_anywhere_never_gives_a_wrong_number(original: Path, folder: Path) -> None:
    """Only errors of fathom's own, and no spectrum or metric that was never measured."""
    with fathom.open_run(original) as run:
        whole = spectra(run)
        losses = set(run.metrics["loss"].tolist())
    data = (original / "run.sqlite").read_bytes()
    used = [position for position, byte in enumerate(data) if byte]
    generator = random.Random(0)
    noticed = 0
    for _ in range(400):
        position, bit = generator.choice(used), generator.randrange(8)
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        (folder / "run.sqlite").write_bytes(damaged)
        where = f"bit {bit} of byte {position}"
        errors = 0
        try:
            run = fathom.open_run(folder)
        except fathom.RunError:
            noticed += 1
            continue
        with run, warnings.catch_warnings():
            warnings.simplefilter("ignore", fathom.FathomWarning)
            for read in reads(run):
                try:
                    read()
                except fathom.FathomError:
                    errors += 1
                except Exception as error:
                    raise AssertionError(f"{where}: {error!r}") from error
            for (step, phase, layer), values in whole.items():
                try:
                    spectrum = run.spectrum(layer, step=step, phase=phase)
                except fathom.RunError:
                    errors += 1
                else:
                    assert spectrum.eigenvalues.numpy().tobytes() == values, where
            try:
                kept = run.metrics.get("loss", np.array([]))
            except fathom.RunError:
                errors += 1
            else:
                assert set(kept[~np.isnan(kept)].tolist()) <= losses, where
            try:
                errors += len(run.damaged)
            except fathom.RunError:
                errors += 1
        noticed += errors > 0
    assert noticed > 200


def test_a_damaged_covariance_is_named_and_the_spectra_are_read(folder: Path) -> None:
    path = folder / "covariances" / "00000001.safetensors"
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    with fathom.open_run(folder) as run:
        with pytest.raises(fathom.DamagedRecordError, match=r"00000001\.safetensors"):
            run.covariance("0", step=1)
        assert run.covariance("0", step=2)[0].shape == (9, 9)
        assert run.spectrum("0", step=1).width == 9
        assert np.isnan(run.statistic("rankme")).tolist() == [[False] * 2, [True] * 2, [False] * 2]


def test_a_removed_covariance_is_named_and_the_spectra_are_read(folder: Path) -> None:
    (folder / "covariances" / "00000001.safetensors").unlink()
    with fathom.open_run(folder) as run:
        with pytest.raises(fathom.RunNotFoundError, match=r"00000001\.safetensors"):
            run.covariance("0", step=1)
        assert run.spectrum("0", step=1).width == 9
        assert np.isnan(run.statistic("rankme")).tolist() == [[False] * 2, [True] * 2, [False] * 2]


def test_a_snapshot_that_was_half_written_is_not_read(folder: Path, tmp_path: Path) -> None:
    """A process that is killed with a rollback journal leaves pages and the journal to undo them.

    The state is made here on purpose; which page of a commit a kill hits is a matter of luck.
    """
    connection = sqlite3.connect(folder / "run.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = delete")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE readings SET eigenvalues = randomblob(length(eigenvalues))")
    connection.execute("DELETE FROM snapshots WHERE step = 0")
    connection.execute("UPDATE sessions SET body = body || randomblob(20000)")
    killed = shutil.copytree(folder, tmp_path / "killed")
    connection.execute("ROLLBACK")
    connection.close()
    assert (killed / "run.sqlite").read_bytes() != (folder / "run.sqlite").read_bytes()
    assert (killed / "run.sqlite-journal").exists()
    with fathom.open_run(folder) as run:
        whole = spectra(run)
    with fathom.open_run(killed) as run:
        assert run.damaged == []
        assert spectra(run) == whole
        assert run.steps == [0, 1, 2]
