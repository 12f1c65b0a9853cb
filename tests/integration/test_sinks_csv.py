"""The CSV sink holds what an export holds, and loses nothing that was written."""

import csv
import io
import threading
import time
from pathlib import Path

import pytest

import fathom
from fathom.sinks import CSV
from fathom.views.export import COLUMNS, export
from preloaded import Piped
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


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_it_is_the_export_of_the_run_with_averages_and_metrics(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "numbers.csv"
    snapshots = watched(tmp_path / "run", [CSV(path)])
    with fathom.open_run(tmp_path / "run") as run:
        export(run, tmp_path / "exported.csv")
    lines = path.read_text().splitlines(keepends=True)
    others = [line for line in lines if ",,,,," in line]
    exported = (tmp_path / "exported.csv").read_text().splitlines(keepends=True)
    assert [line for line in lines if line not in others] == exported
    assert others == [
        line
        for each in snapshots
        for line in (
            f"{each.step},train,,,,,,average_saturation,{each.average_saturation('train')}\n",
            f"{each.step},eval,,,,,,average_saturation,{each.average_saturation('eval')}\n",
            f"{each.step},,,,,,,loss,{each.metrics['loss']}\n",
            f"{each.step},,,,,,,accuracy,nan\n",
        )
    ]


def test_it_has_the_statistics_that_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    watched(None, [CSV(path, statistics=["effective_rank", "saturation"])])
    found = {row["statistic"] for row in rows_of(path) if row["layer"]}
    assert found == {"effective_rank", "saturation"}


def test_every_snapshot_is_there_once_it_is_written(tmp_path: Path) -> None:
    sink = CSV(tmp_path / "numbers.csv")
    (snapshot, *_) = watched(None, [])
    sink.write(snapshot)
    found = {
        (row["phase"], row["layer"]): float(row["value"])
        for row in rows_of(tmp_path / "numbers.csv")
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
    sink = CSV(path)
    assert path.read_bytes() == whole[:-cut], "another process may be writing the line"
    watched(None, [sink])
    assert path.read_bytes() == kept + whole.partition(b"\n")[2]


@pytest.mark.parametrize("there", [b"", b"step,ph"])
def test_a_file_that_was_hardly_begun_is_begun_again(tmp_path: Path, there: bytes) -> None:
    path = tmp_path / "numbers.csv"
    path.write_bytes(there)
    watched(None, [CSV(path)])
    header, *rows = path.read_text().splitlines()
    assert header == ",".join(COLUMNS)
    assert len(rows) > 3 * 2 * 10


def test_a_sink_that_was_closed_goes_on_in_the_next_training(tmp_path: Path) -> None:
    sink = CSV(tmp_path / "numbers.csv")
    watched(None, [sink])
    once = (tmp_path / "numbers.csv").read_bytes()
    watched(None, [sink])
    assert (tmp_path / "numbers.csv").read_bytes() == once + once.partition(b"\n")[2]


def test_many_may_have_the_same_file(tmp_path: Path) -> None:
    def write(path: Path, together: threading.Barrier) -> None:
        sink = CSV(path)
        together.wait()
        sink.write(snapshot)
        sink.close()

    (snapshot, *_) = watched(None, [CSV(tmp_path / "alone.csv")])
    header, *lines = (tmp_path / "alone.csv").read_text().splitlines()
    lines = [line for line in lines if line.startswith("0,")]
    for time_ in range(10):
        path, together = tmp_path / f"{time_}.csv", threading.Barrier(4)
        threads = [threading.Thread(target=write, args=(path, together)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_text().splitlines() == [header, *lines * 4]


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
        with Piped(("-c", TRAINING, path)) as training:
            said = [training.stdout.readline() for _ in range(3 + kill)]
            time.sleep(0.003 * kill)
            training.kill()
            done = int((said + training.stdout.readlines())[-1])
        # The last line may be cut short.
        path.write_bytes(path.read_bytes().rpartition(b"\n")[0] + b"\n")
        rows = [row for row in rows_of(path) if row["layer"]]
        steps = [int(row["step"]) for row in rows]
        assert steps == sorted(steps)
        layers = len({row["layer"] for row in rows})
        of_step = [len({r["layer"] for r in rows if r["step"] == f"{s}"}) for s in range(done + 1)]
        assert layers == 6
        assert of_step == [6] * (done + 1)
