"""What the dashboards' own readers find in their own files is what was measured."""

import contextlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import wandb
from tensorboard.backend.event_processing import event_accumulator
from torch import nn
from wandb.proto import wandb_internal_pb2

import fathom
from fathom.sink import Sink
from fathom.sinks import MLflow, TensorBoard, Trackio, WandB, tensorboard
from held import Notes
from watched import NAMES, OWN, expected, offline, watched

# Of mlflow's own tables under the newest SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

Found = dict[str, dict[int, float]]


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine, and everything lies in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    for name, value in offline(tmp_path).items():
        monkeypatch.setenv(name, value)


def agree(found: Found, snapshots: list[fathom.Snapshot], names: set[str] = NAMES) -> None:
    """Everything is there and nothing else, such as an accuracy that is nan."""
    assert {name for name in found if name.startswith("fathom/")} == names
    for name in names:
        wanted = expected(snapshots, name)
        assert found[name].keys() == wanted.keys(), name
        for step, value in wanted.items():
            # TensorBoard holds float32.
            assert found[name][step] == pytest.approx(value, rel=1e-6), (name, step)


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "_PAUSE", 0.0)
    snapshots = watched(None, [TensorBoard(tmp_path / "logs")])
    events = event_accumulator.EventAccumulator(
        str(tmp_path / "logs"), size_guidance={"histograms": 0, "images": 0, "scalars": 0}
    ).Reload()
    tags = events.Tags()
    found = {
        tag: {each.step: each.value for each in events.Scalars(tag)} for tag in tags["scalars"]
    }
    agree(found, snapshots)
    name = "fathom/eval/log10_eigenvalues/0"
    assert name in tags["histograms"]
    for snapshot, histogram in zip(snapshots, events.Histograms(name), strict=True):
        values = snapshot.eval["0"].eigenvalues
        logarithms = np.log10(values[values > 0].numpy())
        value = histogram.histogram_value
        assert (histogram.step, value.num) == (snapshot.step, len(logarithms))
        assert [value.min, value.max] == pytest.approx([logarithms.min(), logarithms.max()])
    images = events.Images("fathom/eval/layers")
    assert [each.step for each in images] == [each.step for each in snapshots]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")
    assert images[0].width > images[0].height > 200
    assert images[0].encoded_image_string != images[-1].encoded_image_string


def test_tensorboard_draws_the_first_and_the_last_where_they_come_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "_PAUSE", 3600.0)
    snapshots = watched(None, [TensorBoard(tmp_path)])
    events = event_accumulator.EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    for phase in ("train", "eval"):
        images = events.Reload().Images(f"fathom/{phase}/layers")
        assert [each.step for each in images] == [snapshots[0].step, snapshots[-1].step]


def test_tensorboard_gets_what_is_asked_for(tmp_path: Path) -> None:
    sink = TensorBoard(tmp_path, statistics=["effective_rank"], spectra=False, image=False)
    watched(None, [sink])
    tags = event_accumulator.EventAccumulator(str(tmp_path)).Reload().Tags()
    assert "fathom/train/effective_rank/2" in tags["scalars"]
    assert not [tag for tag in tags["scalars"] if "/saturation/" in tag]
    assert not tags["histograms"]
    assert not tags["images"]


@pytest.mark.parametrize("begun", [False, True], ids=["its own run", "the user's run"])
def test_wandb(tmp_path: Path, begun: bool) -> None:
    run = wandb.init(project="p", dir=tmp_path) if begun else None
    snapshots = watched(None, [WandB(project="p") if run is None else WandB(commit=True)])
    if run is not None:
        assert wandb.run is run, "the user's run is the user's to finish"
        run.log({"loss": 1.0})
        run.finish()
    found: Found = {}
    steps = []
    for items in rows_of_wandb(tmp_path):
        if (step := items.pop("fathom/step", None)) is not None:
            steps.append(step)
            for name, value in items.items():
                found.setdefault(name, {})[step] = value
    assert steps == [each.step for each in snapshots]
    agree(found, snapshots, OWN if begun else NAMES)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    axes = {
        record.metric.name or record.metric.glob_name: record.metric.step_metric
        for record in finished(file)
        if record.WhichOneof("record_type") == "metric"
    }
    assert axes["fathom/*"] == "fathom/step"


class Counted(WandB):
    """Counts what it has written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Semaphore(0)

    def write(self, snapshot: fathom.Snapshot) -> None:
        super().write(snapshot)
        self.written.release()


@pytest.mark.parametrize("counts", [True, False], ids=["step=", "its own step"])
def test_in_a_run_of_wandb_what_the_user_logs_before_and_after_is_there(
    tmp_path: Path, counts: bool
) -> None:
    model, sink, notes = nn.Linear(3, 4), Counted(), Notes()
    with (
        wandb.init(project="p", dir=tmp_path) as run,
        fathom.watch(model, sinks=[sink, notes], budget=None) as monitor,
    ):
        for epoch in range(3):
            model(torch.randn(9, 3))
            step = epoch if counts else None
            run.log({"loss": 1 / (epoch + 1)}, step=step)
            monitor.snapshot(epoch)
            assert sink.written.acquire(timeout=60)
            run.log({"accuracy": epoch / 10}, step=step)
    rows = rows_of_wandb(tmp_path)
    assert [each["loss"] for each in rows if "loss" in each] == [1, 1 / 2, 1 / 3]
    assert [each["accuracy"] for each in rows if "accuracy" in each] == [0, 0.1, 0.2]
    assert [each["fathom/step"] for each in rows if "fathom/step" in each] == [0, 1, 2]
    assert [each["fathom/train/saturation/(model)"] for each in rows if "accuracy" in each] == [
        each.train[""].saturation for each in notes.snapshots
    ]
    assert len(rows) == (3 if counts else 6)


def test_two_snapshots_in_one_row_of_wandb_are_said(tmp_path: Path) -> None:
    with (
        wandb.init(project="p", dir=tmp_path),
        pytest.warns(fathom.FathomWarning, match="one row for steps 0 and 10") as told,
    ):
        watched(None, [WandB()])
    assert len(told) == 1
    rows = rows_of_wandb(tmp_path)
    assert [each["fathom/step"] for each in rows if "fathom/step" in each] == [20]


def rows_of_wandb(folder: Path) -> list[dict[str, Any]]:
    """Return what was logged to the one run that was made here, a row a step."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return [
        {
            each.key or "/".join(each.nested_key): json.loads(each.value_json)
            for each in record.history.item
        }
        for record in finished(file)
        if record.WhichOneof("record_type") == "history"
    ]


def finished(file: Path) -> list[Any]:
    """Return the records of a run that has ended: a process of W&B's own writes them."""
    for _ in range(600):
        there = list(records(file))
        if there and there[-1].WhichOneof("record_type") == "exit":
            return there
        time.sleep(0.05)
    raise AssertionError(f"{file} has no end after 30 s")


def records(file: Path) -> Iterator[Any]:
    """Go through the records of W&B's own file: a log as LevelDB writes it, in blocks of 32 KiB."""
    data, place, part = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(part)
            yield record
            part = b""


@pytest.mark.parametrize("begun", [False, True], ids=["its own run", "the user's run"])
def test_mlflow_on_sqlite(tmp_path: Path, begun: bool) -> None:
    address = f"sqlite:///{tmp_path}/mlflow.db"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(address)
    try:
        with mlflow.start_run() if begun else contextlib.nullcontext() as run:
            sink = MLflow(experiment="digits")
            snapshots = watched(None, [sink])
            assert sink.run_id is not None
            if run is not None:
                assert sink.run_id == run.info.run_id
                assert mlflow.active_run() is not None, "the user's run is the user's to end"
        client = mlflow.MlflowClient(tracking_uri=address)
        own = client.get_run(sink.run_id)
        found = {
            name: {each.step: each.value for each in client.get_metric_history(sink.run_id, name)}
            for name in own.data.metrics
        }
    finally:
        mlflow.set_tracking_uri(before)
    if not begun:
        assert client.get_experiment(own.info.experiment_id).name == "digits"
    agree(found, snapshots, OWN if begun else NAMES)
    assert own.info.status == "FINISHED"


EXPERIMENTS = """
import os
import mlflow
from fathom.sinks import MLflow
from watched import watched
def begun():
    sink = MLflow()
    watched(None, [sink])
    client = mlflow.MlflowClient()
    print(client.get_experiment(client.get_run(sink.run_id).info.experiment_id).name)
begun()
os.environ["MLFLOW_EXPERIMENT_NAME"] = "from outside"
begun()
mlflow.set_experiment("digits")
begun()
"""


def test_mlflow_begins_its_run_where_mlflow_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a process of its own, as what is set is so for the whole process.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    done = subprocess.run(
        [sys.executable, "-c", EXPERIMENTS], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["Default", "from outside", "digits"], done.stderr


def test_mlflow_takes_more_numbers_than_a_request_holds_and_any_name(tmp_path: Path) -> None:
    names = ["a|b", "a_b", "a?b", "é", "层", *(f"l{number}" for number in range(600))]
    model = nn.ModuleDict({name: nn.Linear(2, 2) for name in names})
    address = f"sqlite:///{tmp_path}/mlflow.db"
    sink = MLflow(tracking_uri=address)
    with fathom.watch(model, sinks=[sink]) as monitor:
        for layer in model.values():
            layer(torch.randn(8, 2))
        monitor.snapshot(0)
    assert sink.run_id is not None
    metrics = mlflow.MlflowClient(tracking_uri=address).get_run(sink.run_id).data.metrics
    assert len(metrics) == 2 * 605 + 1
    start = "fathom/train/saturation/"
    assert {f"{start}{name}" for name in ("a_b", "a_b_2", "a_b_3", "é", "层")} <= metrics.keys()


TRAINING = """
import sys
import trackio
from fathom.sinks import Trackio
from watched import watched
begun = sys.argv[1] != "its own run"
run = trackio.init(project="digits", embed=False) if begun else None
if begun:
    trackio.log({"loss": 1.0})
watched("run", [Trackio(run if sys.argv[1] == "given" else None, project="digits", embed=False)])
if begun:
    # It is there still, and its own.
    trackio.log({"loss": 0.5})
    trackio.finish()
"""


@pytest.mark.parametrize("whose", ["its own run", "given", "present"])
def test_trackio(tmp_path: Path, whose: str) -> None:
    # In a process of its own: it decides where to write when it is imported.
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, whose],
        env={
            **os.environ,
            "TRACKIO_DIR": str(tmp_path / "trackio"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    connection = sqlite3.connect(tmp_path / "trackio" / "digits.db")
    rows = list(connection.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step"))
    connection.close()
    assert len({name for name, _, _ in rows}) == 1
    with fathom.open_run(tmp_path / "run") as run:
        snapshots = list(run.snapshots())
    found: Found = {}
    for _, step, text in rows:
        items = json.loads(text)
        for name, value in items.items():
            found.setdefault(name, {})[items.get("fathom/step", step)] = value
    if whose == "its own run":
        agree(found, snapshots)
    else:
        # trackio counts on, whatever the steps of the snapshots are.
        assert [step for _, step, _ in rows] == [0, 1, 2, 3, 4]
        assert found.pop("loss") == {0: 1.0, 4: 0.5}
        assert found.pop("fathom/step") == {0: 0, 10: 10, 20: 20}
        agree(found, snapshots, OWN)


@pytest.mark.parametrize("sink", [TensorBoard, WandB, MLflow, Trackio])
def test_a_statistic_that_there_is_not_is_refused_at_once(sink: type, tmp_path: Path) -> None:
    with pytest.raises(fathom.ArgumentError, match=f"{sink.__name__}: statistics"):
        sink(str(tmp_path), statistics=["colour"])


def test_a_sink_that_fails_is_switched_off_and_the_run_and_others_go_on(tmp_path: Path) -> None:
    # There is no such run.
    broken = MLflow(run_id="a" * 32, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.warns(fathom.FathomWarning, match="sink MLflow failed at step 0"):
        watched(tmp_path / "run", [broken, TensorBoard(tmp_path / "logs")])
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 10, 20]
    assert len(list((tmp_path / "logs").iterdir())) == 1


def test_a_sink_that_is_given_nothing_begins_nothing(tmp_path: Path) -> None:
    # As on all ranks of a training but the first.
    address = f"sqlite:///{tmp_path}/mlflow.db"
    sinks: list[Sink] = [
        TensorBoard(tmp_path / "logs"), WandB(), MLflow(tracking_uri=address), Trackio()
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error", fathom.FathomWarning)
        fathom.watch(nn.Linear(3, 4), sinks=sinks).close()
    assert list(tmp_path.iterdir()) == []
    assert wandb.run is None
