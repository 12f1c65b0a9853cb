"""The CSV sink holds what an export holds, and loses nothing that was written."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fathom
from fathom.sinks import CSV
from fathom.views.export import COLUMNS, export
from watched import watched

TRAINING = """
import sys
import torch
import fathom
from fathom.sinks import CSV
class Telling(CSV):
    def write(self, snapshot):
        super().write(snapshot)
        print(snapshot.step, flush=True)
model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(6)))
monitor = fathom.watch(model, sinks=[Telling(sys.argv[1])], budget=None)
for step in range(10**9):
    model(torch.randn(16, 8))
    monitor.snapshot(step).wait()
"""


def test_it_is_the_export_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "numbers.csv"
    watched(tmp_path / "run", [CSV(path)])
    with fathom.open_run(tmp_path / "run") as run:
        export(run, tmp_path / "exported.csv")
    assert path.read_bytes() == (tmp_path / "exported.csv").read_bytes()


def test_every_snapshot_is_there_once_it_is_recorded(tmp_path: Path) -> None:
    sink = CSV(tmp_path / "numbers.csv")
    (snapshot, *_) = watched(None, [])
    sink.write(snapshot)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "numbers.csv").read_text())))
    found = {
        (row["phase"], row["layer"]): float(row["value"])
        for row in rows
        if row["statistic"] == "saturation"
    }
    assert found == {
        (phase, name): reading.saturation
        for phase in ("train", "eval")
        for name, reading in snapshot.phase(phase).items()
    }
    sink.close()


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_it_goes_on_behind_a_line_that_was_cut_short(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "numbers.csv"
    watched(None, [CSV(path)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = whole[:-cut].rpartition(b"\n")[0] + b"\n"
    CSV(path).close()
    assert path.read_bytes() == kept
    watched(None, [CSV(path)])
    assert path.read_bytes() == kept + whole.partition(b"\n")[2]


@pytest.mark.parametrize("there", [b"", b"step,ph"])
def test_a_file_that_was_hardly_begun_is_begun_again(tmp_path: Path, there: bytes) -> None:
    path = tmp_path / "numbers.csv"
    path.write_bytes(there)
    CSV(path).close()
    assert path.read_text() == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("there", ["epoch,loss\n1,2\n", "step\n", "\x00\x01"])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, there: str) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(there)
    with pytest.raises(fathom.ArgumentError, match="CSV: path must be a new file"):
        CSV(path)
    assert path.read_text() == there


def test_of_a_killed_training_every_recorded_step_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    for kill in range(5):
        path.unlink(missing_ok=True)
        training = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert training.stdout is not None
        said = [training.stdout.readline() for _ in range(3 + kill)]
        time.sleep(0.003 * kill)
        os.kill(training.pid, signal.SIGKILL)
        done = int((said + training.stdout.readlines())[-1])
        training.wait()
        training.stdout.close()
        CSV(path).close()
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        steps = [int(row["step"]) for row in rows]
        assert steps == sorted(steps)
        layers = len({row["layer"] for row in rows})
        of_step = [len({r["layer"] for r in rows if r["step"] == f"{s}"}) for s in range(done + 1)]
        assert layers == 6
        assert of_step == [6] * (done + 1)
