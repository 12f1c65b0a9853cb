"""What the dashboards' own readers find in their own files is what was measured."""

import contextlib
import json
import math
import os
import sqlite3
import struct
import subprocess
import sys
import time
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
from fathom.sinks import MLflow, TensorBoard, Trackio, WandB
from watched import NAMES, STEPS, expected, watched

# Of mlflow's own tables under the newest SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

Found = dict[str, dict[int, float]]


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine, and everything lies in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "WANDB_DIR": str(tmp_path),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
    }.items():
        monkeypatch.setenv(name, value)


def agree(found: Found, snapshots: list[fathom.Snapshot]) -> None:
    assert {name for name in found if name.startswith("fathom/")} >= NAMES
    for name in NAMES:
        wanted = expected(snapshots, name)
        assert found[name].keys() == wanted.keys(), name
        for step, value in wanted.items():
            # TensorBoard holds float32.
            assert found[name][step] == pytest.approx(value, rel=1e-6), (name, step)


def test_tensorboard(tmp_path: Path) -> None:
    snapshots = watched(None, [TensorBoard(tmp_path / "logs")])
    events = event_accumulator.EventAccumulator(
        str(tmp_path / "logs"), size_guidance={"histograms": 0, "images": 0, "scalars": 0}
    ).Reload()
    tags = events.Tags()
    found = {
        tag: {each.step: each.value for each in events.Scalars(tag)} for tag in tags["scalars"]
    }
    agree(found, snapshots)
    assert found.keys() == NAMES
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
    snapshots = watched(None, [WandB(project="p") if run is None else WandB()])
    if run is not None:
        assert wandb.run is run, "the user's run is the user's to finish"
        run.log({"loss": 1.0})
        run.finish()
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    found: Found = {}
    steps = []
    for record in finished(file):
        if record.WhichOneof("record_type") == "history":
            items = {
                each.key or "/".join(each.nested_key): json.loads(each.value_json)
                for each in record.history.item
            }
            if "fathom/step" in items:
                steps.append(items["fathom/step"])
                for name, value in items.items():
                    found.setdefault(name, {})[items["fathom/step"]] = value
    assert steps == [each.step for each in snapshots]
    if begun:
        found["fathom/metrics/loss"] = expected(snapshots, "fathom/metrics/loss")
    agree(found, snapshots)


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
    if begun:
        found["fathom/metrics/loss"] = expected(snapshots, "fathom/metrics/loss")
    else:
        assert client.get_experiment(own.info.experiment_id).name == "digits"
    agree(found, snapshots)
    assert own.info.status == "FINISHED"


def test_mlflow_takes_more_numbers_than_a_request_holds_and_any_name(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a|b": nn.Linear(2, 2)} | {f"l{n}": nn.Linear(2, 2) for n in range(600)})
    address = f"sqlite:///{tmp_path}/mlflow.db"
    sink = MLflow(tracking_uri=address)
    with fathom.watch(model, sinks=[sink]) as monitor:
        for layer in model.values():
            layer(torch.randn(8, 2))
        monitor.snapshot(0)
    metrics = mlflow.MlflowClient(tracking_uri=address).get_run(sink.run_id).data.metrics
    assert len(metrics) == 2 * 601 + 1
    assert "fathom/train/saturation/a_b" in metrics


TRAINING = """
import sys
import time
import trackio
from fathom.sinks import Trackio
from watched import watched
run = trackio.init(project="digits", embed=False) if sys.argv[1:] else None
watched("run", [Trackio(run) if run else Trackio(project="digits", embed=False)])
if run:
    run.finish()
"""


@pytest.mark.parametrize("begun", [False, True], ids=["its own run", "the user's run"])
def test_trackio(tmp_path: Path, begun: bool) -> None:
    # In a process of its own: it decides where to write when it is imported.
    subprocess.run(
        [sys.executable, "-c", TRAINING, *(["begun"] if begun else [])],
        env={
            **os.environ,
            "TRACKIO_DIR": str(tmp_path / "trackio"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        check=True,
        capture_output=True,
    )
    connection = sqlite3.connect(tmp_path / "trackio" / "digits.db")
    found: Found = {}
    for step, text in connection.execute("SELECT step, metrics FROM metrics"):
        for name, value in json.loads(text).items():
            found.setdefault(name, {})[step] = value
    connection.close()
    with fathom.open_run(tmp_path / "run") as run:
        snapshots = list(run.snapshots())
    if begun:
        found["fathom/metrics/loss"] = expected(snapshots, "fathom/metrics/loss")
    agree(found, snapshots)


def test_a_number_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    snapshots = watched(None, [])
    assert all(math.isnan(each.metrics["accuracy"]) for each in snapshots)
    assert len(snapshots) == STEPS
    assert not [name for name in NAMES if "accuracy" in name]


@pytest.mark.parametrize("sink", [TensorBoard, WandB, MLflow, Trackio])
def test_a_statistic_that_there_is_not_is_refused_at_once(sink: type, tmp_path: Path) -> None:
    with pytest.raises(fathom.ArgumentError, match=f"{sink.__name__}: statistics"):
        sink(str(tmp_path), statistics=["colour"])


def test_a_sink_that_fails_is_switched_off_and_the_run_and_others_go_on(tmp_path: Path) -> None:
    broken = MLflow.__new__(MLflow)  # its server is gone: every write fails
    with pytest.warns(fathom.FathomWarning, match="sink MLflow failed at step 0"):
        watched(tmp_path / "run", [broken, TensorBoard(tmp_path / "logs")])
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [0, 10, 20]
    assert len(list((tmp_path / "logs").iterdir())) == 1
