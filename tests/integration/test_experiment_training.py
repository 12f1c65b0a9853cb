"""One training of an experiment: what it records, that it repeats to the bit, and goes on."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fathom
from experiments_made import bits, epochs_done, same, tiny
from fathom.errors import ArgumentError, ExperimentError
from fathom.experiments import checkpoint, training
from fathom.experiments.data.batches import normalised
from fathom.experiments.data.load import load
from fathom.experiments.layout import Layout, read_json, write_json
from fathom.experiments.models.build import build
from fathom.experiments.models.dense import Dense
from fathom.experiments.outcome import outcomes
from fathom.experiments.task import Recording, Task, Training
from fathom.experiments.training import BusyError, train

_TASK = tiny(epochs=3, probes=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A training that nothing stopped."""
    layout = Layout(tmp_path_factory.mktemp("whole"))
    train(_TASK, layout)
    return layout


def test_every_epoch_is_recorded_in_both_phases_with_its_metrics(whole: Layout) -> None:
    with fathom.open_run(whole.run(_TASK)) as run:
        assert run.steps == [1, 2, 3]
        assert run.layers == ["input", "hidden", "output"]
        assert sorted(run.metrics) == ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
        data = load("seven-vs-nine")
        last = run.snapshot(3)
    assert last.eval["hidden"].rows == len(data.test)
    assert last.train["hidden"].rows == len(data.train)


def test_the_last_numbers_are_those_of_the_weights_that_are_kept(whole: Layout) -> None:
    data = load("seven-vs-nine")
    model = build("dense", width=8, classes=2, shape=data.shape)
    assert isinstance(model, Dense)
    model.load_state_dict(torch.load(whole.weights(_TASK), weights_only=True))
    with torch.no_grad():
        pictures = normalised(data.test.pixels)
        logits = model(pictures)
        hidden = model.hidden(model.input(pictures.flatten(1)).relu())
    done = read_json(whole.done(_TASK))
    assert done is not None
    right = (logits.argmax(1) == data.test.labels).double().mean().item()
    assert done["test_accuracy"] == pytest.approx(right, abs=1e-12)
    loss = torch.nn.functional.cross_entropy(logits, data.test.labels).item()
    assert done["test_loss"] == pytest.approx(loss, rel=1e-5)
    eigenvalues = np.linalg.eigvalsh(np.cov(hidden.double().numpy().T, bias=True))[::-1]
    with fathom.open_run(whole.run(_TASK)) as run:
        spectrum = run.spectrum("hidden", phase="eval").eigenvalues
    np.testing.assert_allclose(spectrum.numpy(), eigenvalues, rtol=1e-4, atol=1e-6)


def test_its_outcome_has_what_the_run_has(whole: Layout) -> None:
    (outcome,) = outcomes(whole, [_TASK, tiny(width=16)])
    assert outcome.task == _TASK
    assert outcome.widths == (128, 8, 2)
    assert outcome.saturation["eval"].shape == (3, 3)
    # One fully connected row a picture, of 72 sevens and nines.
    assert outcome.test_pictures == 72
    np.testing.assert_allclose(outcome.rows_per_width, [72 / 128, 72 / 8, 72 / 2])
    assert outcome.focus == 1
    assert sorted(outcome.probes) == ["hidden", "input", "output"]
    assert outcome.model_accuracy == outcome.metrics["test_accuracy"][-1]
    assert outcome.seconds > 0


def test_another_seed_gives_other_numbers(whole: Layout, tmp_path: Path) -> None:
    layout, other = Layout(tmp_path), tiny(epochs=3, repetition=1)
    train(other, layout)
    ours, theirs = bits(whole, _TASK), bits(layout, other)
    assert not ours["hidden.weight"].equal(theirs["hidden.weight"])


@pytest.mark.parametrize("model", ["dense", "vgg11"])
def test_a_training_that_was_killed_ends_with_the_bits_of_one_that_was_not(
    whole: Layout, tmp_path: Path, model: str
) -> None:
    task = _TASK
    if model != "dense":
        task = tiny(model=model, width=0.0625, epochs=3)
        train(task, whole)
    layout = Layout(tmp_path)
    script = (
        "from pathlib import Path\n"
        "from fathom.experiments.layout import Layout\n"
        "from fathom.experiments.task import Task\n"
        "from fathom.experiments.training import train\n"
        f"train(Task.from_body({task.to_body()!r}), Layout(Path({str(tmp_path)!r})))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        end = time.monotonic() + 60
        while epochs_done(layout, task) < 1 and time.monotonic() < end:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert epochs_done(layout, task) >= 1
    assert not layout.done(task).exists()
    train(task, layout)
    assert same(bits(layout, task), bits(whole, task))


def test_every_epoch_has_batches_and_crops_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def told(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels.clone())
        return normalised(pixels)

    monkeypatch.setattr(training, "normalised", told)
    task = tiny(epochs=2)
    training.train(task, Layout(tmp_path))
    pictures = len(load("seven-vs-nine").train)
    batches = -(-pictures // task.training.batch)
    first, second = seen[:batches], seen[len(seen) // 2 :][:batches]
    assert sum(map(len, first)) == sum(map(len, second)) == pictures
    assert not any(ours.equal(theirs) for ours, theirs in zip(first, second, strict=True))
    held_out = [seen[batches], seen[len(seen) // 2 + batches]]
    assert held_out[0].equal(held_out[1])


def test_nothing_is_trained_twice(whole: Layout) -> None:
    before = whole.weights(_TASK).stat().st_mtime_ns
    train(_TASK, whole)
    assert whole.weights(_TASK).stat().st_mtime_ns == before


def test_the_users_generator_and_flags_stay_as_they_were(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    train(tiny(epochs=1), Layout(tmp_path))
    assert torch.get_rng_state().equal(state)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_task_that_is_trained_in_another_way_is_refused_by_what_differs(whole: Layout) -> None:
    with pytest.raises(ExperimentError, match=r"epochs 3 instead of 5.*--out"):
        train(tiny(epochs=5, probes=True), whole)


def test_two_processes_do_not_train_the_same_task(tmp_path: Path) -> None:
    from filelock import FileLock

    layout, task = Layout(tmp_path), tiny(epochs=1)
    layout.folder(task).mkdir(parents=True)
    with FileLock(layout.lock(task)), pytest.raises(BusyError, match="one process at a time"):
        train(task, layout)


def stopped_at_the_mark(layout: Layout, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, and end where the mark of a finished task would be written."""
    real = write_json

    def until_done(path: Path, body: Mapping[str, Any]) -> None:
        if path == layout.done(task):
            raise KeyboardInterrupt
        real(path, body)

    with monkeypatch.context() as patched:
        patched.setattr(training, "write_json", until_done)
        with pytest.raises(KeyboardInterrupt):
            train(task, layout)
    assert not layout.done(task).exists()


def test_a_training_that_ends_before_its_mark_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, task = Layout(tmp_path), tiny(epochs=2)
    stopped_at_the_mark(layout, task, monkeypatch)
    half = layout.folder(task) / ".checkpoint.pt.half"
    half.write_bytes(b"half")
    kept = []
    monkeypatch.setattr(checkpoint, "save", lambda path, state, *others: kept.append(state))
    train(task, layout)
    assert kept == []
    assert sorted(path.name for path in layout.folder(task).iterdir()) == [
        "done.json",
        "lock",
        "progress.json",
        "task.json",
        "weights.pt",
    ]


def test_a_checkpoint_without_its_run_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, task = Layout(tmp_path), tiny(epochs=2)
    stopped_at_the_mark(layout, task, monkeypatch)
    weights = bits(layout, task)
    shutil.rmtree(layout.run(task))
    train(task, layout)
    assert same(bits(layout, task), weights)


def test_a_damaged_checkpoint_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, task = Layout(tmp_path), tiny(epochs=1)
    stopped_at_the_mark(layout, task, monkeypatch)
    layout.checkpoint(task).write_bytes(b"nothing")
    with pytest.raises(ExperimentError, match=r"must be a checkpoint.*Remove it"):
        train(task, layout)


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--device must be one of auto, cpu, cuda, got 'tpu'"):
        train(tiny(), Layout(tmp_path), device="tpu")


def test_an_autoencoder_has_losses_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    task = tiny(model="autoencoder", epochs=2, probes=True)
    train(task, layout)
    (outcome,) = outcomes(layout, [task])
    assert sorted(outcome.metrics) == ["test_loss", "train_loss"]
    assert outcome.metrics["train_loss"][-1] < outcome.metrics["train_loss"][0]
    assert outcome.probes == {}


def test_a_last_batch_of_one_picture_is_left_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    pictures = len(load("seven-vs-nine").train)
    task = Task(
        data="seven-vs-nine",
        model="vgg11",
        width=0.0625,
        training=Training(epochs=1, batch=pictures - 1),
        record=Recording(),
    )
    train(task, layout)
    with fathom.open_run(layout.run(task)) as run:
        assert run.snapshot(1).train["classifier.0"].rows == pictures - 1
