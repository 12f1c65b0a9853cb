"""Where the Delve package 0.1.50 is wrong by measurement, fathom is right: one test a defect.

Those of its `embed` and its PCA layers are in `test_embedding.py` and `test_projection.py`.
"""

import math
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fathom
import reference

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def test_the_covariance_is_that_of_all_batches_not_of_the_last() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 128)
    rows = torch.randn(6400, 64)
    with fathom.watch(layer, budget=None) as monitor:
        for batch in rows.split(32):
            layer(batch)
        reading = monitor.snapshot(step=0).train[""]
    outputs = layer(rows).detach().numpy()
    expected = reference.eigenvalues(outputs)
    np.testing.assert_allclose(
        reading.eigenvalues.numpy(), expected, rtol=1e-4, atol=1e-6 * expected[0]
    )
    assert (reading.rows, reading.samples, reading.calls) == (6400, 6400, 200)
    assert reading.saturation == reference.intrinsic_dimension(expected) / 128
    # The truth that the guide states, and what the last batch alone would give.
    assert reading.saturation == pytest.approx(0.469, abs=0.02)
    last = reference.eigenvalues(outputs[-32:])
    assert reference.intrinsic_dimension(last) / 128 == pytest.approx(0.219, abs=0.02)


def test_the_intrinsic_dimension_of_2000_random_spectra_is_not_one_too_low() -> None:
    generator = np.random.default_rng(0)
    for _ in range(2000):
        width = int(generator.integers(1, 60))
        values = generator.exponential(size=width) ** float(generator.uniform(0.5, 6))
        assert reference.margin_at_cut(values) > 1e-12
        found = fathom.intrinsic_dimension(torch.from_numpy(values))
        assert found == reference.intrinsic_dimension(values)


@pytest.mark.parametrize(("eigenvalues", "threshold", "dimension"), reference.DECIDING_CASES)
def test_the_cases_that_decide_through_a_watched_layer(
    eigenvalues: list[float], threshold: float, dimension: int
) -> None:
    width = len(eigenvalues)
    layer = nn.Linear(width, width, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(eigenvalues).double().sqrt().diag())
    # Rows of covariance 1: each axis once up and once down.
    rows = torch.cat([torch.eye(width), -torch.eye(width)]).double() * math.sqrt(width)
    with fathom.watch(layer, threshold=threshold, budget=None) as monitor:
        layer(rows)
        reading = monitor.snapshot(step=0).train[""]
    np.testing.assert_allclose(reading.eigenvalues.numpy(), eigenvalues, atol=1e-7)
    assert reading.intrinsic_dimension == dimension
    assert reading.saturation == dimension / width


def test_tokens_count_at_every_time_step_not_at_the_last() -> None:
    torch.manual_seed(1)
    layer = nn.Linear(4, 8)
    tokens = torch.randn(10, 12, 4) * torch.linspace(3, 0, 12)[:, None]
    with fathom.watch(layer, budget=None) as monitor:
        layer(tokens)
        reading = monitor.snapshot(step=0).train[""]
    expected = reference.eigenvalues(layer(tokens).detach().numpy().reshape(120, 8))
    assert (reading.rows, reading.samples) == (120, 10)
    np.testing.assert_allclose(
        reading.eigenvalues.numpy(), expected, rtol=1e-4, atol=1e-6 * expected[0]
    )
    # The last step alone is constant.
    assert reading.intrinsic_dimension == reference.intrinsic_dimension(expected) > 0


@pytest.mark.parametrize("timesteps", ["all", "last"])
def test_an_lstm_without_batch_first_counts_every_sample(timesteps: str) -> None:
    torch.manual_seed(2)
    layer = nn.LSTM(3, 5)
    batch = torch.randn(7, 20, 3)
    steps = layer(batch)[0].detach().numpy()
    rows = steps.reshape(140, 5) if timesteps == "all" else steps[-1]
    expected = reference.eigenvalues(rows)
    with fathom.watch(layer, timesteps=timesteps, budget=None) as monitor:
        layer(batch)
        reading = monitor.snapshot(step=0).train[""]
    assert (reading.rows, reading.samples) == (len(rows), 20)
    np.testing.assert_allclose(
        reading.eigenvalues.numpy(), expected, rtol=1e-4, atol=1e-6 * expected[0]
    )


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 3))


def record(folder: Path, steps: range, *, resume: bool = False) -> None:
    model = network()
    with fathom.watch(model, folder, resume=resume, keep="covariance", budget=None) as monitor:
        for step in steps:
            model(torch.randn(30, 1, 6, 6))
            model.eval()
            model(torch.randn(30, 1, 6, 6))
            model.train()
            monitor.snapshot(step=step, loss=1.0 / (step + 1))


def test_the_average_saturation_is_a_number(tmp_path: Path) -> None:
    model = network()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(torch.randn(300, 1, 6, 6))
        snapshot = monitor.snapshot(step=0)
    average = snapshot.average_saturation("train")
    expected = (snapshot.train["0"].saturation + snapshot.train["2"].saturation) / 2
    assert average == pytest.approx(expected)
    assert 0 < average <= 1
    with fathom.open_run(tmp_path / "run") as run:
        assert run.snapshot().average_saturation("train") == average


def test_resuming_twice_does_not_append_twice(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    record(folder, range(2))
    with fathom.open_run(folder) as run:
        before = run.statistic("saturation", phase="train")
    record(folder, range(2, 2), resume=True)
    record(folder, range(2, 2), resume=True)
    with fathom.open_run(folder) as run:
        assert run.steps == [0, 1]
        np.testing.assert_array_equal(run.statistic("saturation", phase="train"), before)
    record(folder, range(2, 4), resume=True)
    record(folder, range(4, 5), resume=True)
    with fathom.open_run(folder) as run:
        assert run.steps == [0, 1, 2, 3, 4]
        assert len(run.layers) == 3
        assert run.statistic("saturation", phase="eval").shape == (5, 3)
        assert list(run.metrics["loss"]) == [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5]


READ_WITH_A_GUARD = """
import sys
import fathom
from fathom.errors import FathomError
forbidden = ("pickle.", "marshal.", "os.system", "os.exec", "subprocess.", "exec", "compile")
def guard(event, arguments):
    if armed and event.startswith(forbidden):
        print("EXECUTED", event, arguments)
def read(action):
    try:
        return action()
    except FathomError as error:
        print("REFUSED", type(error).__name__)
def everything():
    with fathom.open_run(sys.argv[1]) as run:
        read(lambda: run.facts)
        read(lambda: run.metrics)
        read(lambda: run.snapshot())
        for step in read(lambda: run.steps) or ():
            for layer in read(lambda: run.layers) or ():
                read(lambda: run.spectrum(layer, step=step))
                read(lambda: run.covariance(layer, step=step, phase="eval"))
        read(lambda: run.statistic("saturation", phase="train"))
armed = False
if len(sys.argv) == 2:
    everything()  # imports come first, as Python itself reads its modules with marshal
armed = True
sys.addaudithook(guard)
read(everything)
print("DONE")
"""


def read_with_a_guard(*arguments: str) -> list[str]:
    """Read all of a run in a process that prints whatever is executed, or refused."""
    result = subprocess.run(
        [sys.executable, "-c", READ_WITH_A_GUARD, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_run_holds_no_pickle_and_opening_it_executes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    record(folder, range(2))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        # Pickles of protocol 2 and later, archives of torch.save and of numpy, and numpy's own.
        assert not content.startswith((b"\x80", b"PK\x03\x04", b"\x93NUMPY")), path
    assert read_with_a_guard(str(folder)) == ["DONE"]


class Bomb:
    """A pickle of it makes a file where it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def test_a_pickle_planted_in_a_run_is_never_read(tmp_path: Path) -> None:
    folder, marker = tmp_path / "run", tmp_path / "exploded"
    record(folder, range(1))
    bomb = pickle.dumps(Bomb(marker))
    pickle.loads(bomb)
    assert marker.exists()
    marker.unlink()
    connection = sqlite3.connect(folder / "run.sqlite")
    with connection:
        connection.execute("UPDATE readings SET eigenvalues = ?", (bomb,))
        connection.execute("UPDATE sessions SET body = ?", (bomb,))
    connection.close()
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(bomb)
    (folder / "resume.pkl").write_bytes(bomb)
    lines = read_with_a_guard(str(folder), "without a first reading")
    assert lines[-1] == "DONE"
    assert any(line.startswith("REFUSED") for line in lines)
    assert not any("pickle" in line for line in lines)
    assert not marker.exists()


def test_close_removes_the_hooks() -> None:
    model = network()
    monitor = fathom.watch(model, every=2, budget=None)
    assert any(part._forward_hooks for part in model.modules())
    monitor.close()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_a_watched_model_pickles() -> None:
    model = network()
    with fathom.watch(model, budget=None):
        copy = pickle.loads(pickle.dumps(model))
    images = torch.randn(4, 1, 6, 6)
    assert torch.equal(copy(images), model(images))


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_is_that_of_the_model(device: str) -> None:
    model = network().to(device)
    images = torch.randn(40, 1, 6, 6, device=device)
    with fathom.watch(model, budget=None) as monitor:
        model(images)
        snapshot = monitor.snapshot(step=0)
    expected = reference.eigenvalues(model(images).detach().cpu().numpy())
    found = snapshot.train["3"].eigenvalues
    assert found.device.type == "cpu"
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6 * expected[0])
