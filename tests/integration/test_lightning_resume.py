"""Lightning, both packages: a training that was stopped goes on from its checkpoint."""

import importlib
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import fathom
from fathom.integrations.lightning import FathomCallback
from fathom.recorder import Recorder
from lightning_training import QUIET, TRAINING, VALIDATION, Boom, module, saving, trainer

pytestmark = QUIET


def same(one: fathom.Snapshot, other: fathom.Snapshot) -> None:
    for phase in ("train", "eval"):
        assert list(one.phase(phase)) == list(other.phase(phase))
        for name, reading in one.phase(phase).items():
            assert torch.equal(reading.eigenvalues, other.phase(phase)[name].eigenvalues)
            assert reading.rows == other.phase(phase)[name].rows
    assert one.metrics.keys() >= {"val_loss"}


@pytest.mark.parametrize("at", [3, 7, 9, 13])
def test_a_training_resumed_from_a_checkpoint_records_what_an_uninterrupted_one_does(
    pl: Any, tmp_path: Path, at: int
) -> None:
    # Within an epoch Lightning begins the data anew, so here all batches are alike.
    training = DataLoader(TensorDataset(next(iter(TRAINING))[0].repeat(5, 1)), batch_size=4)
    whole = FathomCallback(tmp_path / "whole", every_n_epochs=2)
    trainer(pl, tmp_path, [whole], max_epochs=4).fit(module(pl), training, VALIDATION)

    def fit(model: Any, **options: Any) -> None:
        saved = saving(pl, tmp_path, every_n_train_steps=at)
        callbacks = [FathomCallback(tmp_path / "run", every_n_epochs=2), *saved.pop("callbacks")]
        fitted = trainer(pl, tmp_path, callbacks, max_epochs=4, **saved)
        fitted.fit(model, training, VALIDATION, **options)

    with pytest.raises(Boom):
        fit(module(pl, fail_at=14))
    assert fathom.open_run(tmp_path / "run").steps == [10]
    fit(module(pl), ckpt_path=tmp_path / "saved" / f"step={at}.ckpt")
    run, expected = fathom.open_run(tmp_path / "run"), fathom.open_run(tmp_path / "whole")
    assert run.steps == expected.steps == [10, 20]
    for step in run.steps:
        same(run.snapshot(step), expected.snapshot(step))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("at", [5, 10, 15])
def test_a_checkpoint_of_a_validations_end_adds_no_step_and_loses_none(
    pl: Any, tmp_path: Path, at: int, *, recorded: bool
) -> None:
    def begun(**options: Any) -> Any:
        callback = FathomCallback(tmp_path / "run", budget=None)
        others = options.pop("callbacks", [])
        return trainer(pl, tmp_path, [callback, *others], **options)

    saved = saving(pl, tmp_path, save_on_train_epoch_end=False)
    begun(**saved).fit(module(pl), TRAINING, VALIDATION)
    if not recorded:
        # As if it had been killed before the end of the epoch: the state alone has these rows.
        fathom.watch(module(pl), tmp_path / "run", resume_from=at).close()
    begun().fit(module(pl), TRAINING, VALIDATION, ckpt_path=tmp_path / "saved" / f"step={at}.ckpt")
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 10, 15]
    for step in run.steps:
        assert run.snapshot(step).train["net.0"].rows == 20
        assert run.snapshot(step).eval["net.0"].rows == 12


def test_what_a_checkpoint_takes_for_recorded_is_recorded(
    pl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Recorder.record

    def late(*args: Any) -> None:
        time.sleep(0.3)
        record(*args)

    monkeypatch.setattr(Recorder, "record", late)
    there: list[list[int]] = []

    class Look(pl.Callback):  # type: ignore[misc]
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
            there.append(fathom.open_run(tmp_path / "run").steps)

    saved = saving(pl, tmp_path, save_on_train_epoch_end=True)
    callbacks = [FathomCallback(tmp_path / "run"), Look(), *saved.pop("callbacks")]
    trainer(pl, tmp_path, callbacks, max_epochs=2, **saved).fit(module(pl), TRAINING)
    assert there == [[5], [5, 10]]


def test_a_checkpoint_of_a_training_without_fathom_can_be_gone_on_with(
    pl: Any, tmp_path: Path
) -> None:
    first = trainer(pl, tmp_path, [], max_epochs=1)
    first.fit(module(pl), TRAINING)
    first.save_checkpoint(tmp_path / "first.ckpt")
    callback = FathomCallback(tmp_path / "run")
    trainer(pl, tmp_path, [callback]).fit(module(pl), TRAINING, ckpt_path=tmp_path / "first.ckpt")
    assert fathom.open_run(tmp_path / "run").steps == [10, 15]


def test_a_strategy_that_reads_the_checkpoint_late_is_waited_for(pl: Any, tmp_path: Path) -> None:
    class Late(importlib.import_module(f"{pl.__name__}.strategies").SingleDeviceStrategy):  # type: ignore[misc]
        restore_checkpoint_after_setup = True

    first = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")], max_epochs=2)
    first.fit(module(pl), TRAINING)
    first.save_checkpoint(tmp_path / "first.ckpt")
    second = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")], strategy=Late(device="cpu"))
    second.fit(module(pl), TRAINING, ckpt_path=tmp_path / "first.ckpt")
    assert fathom.open_run(tmp_path / "run").steps == [5, 10, 15]


def test_two_callbacks_whose_folders_have_the_same_name_are_saved_apart(
    pl: Any, tmp_path: Path
) -> None:
    callbacks = [FathomCallback(tmp_path / place / "run", budget=None) for place in "ab"]
    fitted = trainer(pl, tmp_path, callbacks, max_epochs=1)
    fitted.fit(module(pl), TRAINING)
    fitted.save_checkpoint(tmp_path / "first.ckpt")
    saved = torch.load(tmp_path / "first.ckpt", weights_only=True)["callbacks"]
    assert {each.state_key for each in callbacks} <= saved.keys()
    assert fathom.open_run(tmp_path / "a" / "run").steps == [5]


def test_a_window_goes_on_in_a_run_of_another_name(pl: Any, tmp_path: Path) -> None:
    saved = saving(pl, tmp_path, every_n_train_steps=7)
    callbacks = [FathomCallback(tmp_path / "run", budget=None), *saved.pop("callbacks")]
    trainer(pl, tmp_path, callbacks, max_epochs=2, **saved).fit(module(pl), TRAINING)
    (tmp_path / "run").rename(tmp_path / "moved")
    again = trainer(pl, tmp_path, [FathomCallback(tmp_path / "moved", budget=None)])
    again.fit(module(pl), TRAINING, ckpt_path=tmp_path / "saved" / "step=7.ckpt")
    run = fathom.open_run(tmp_path / "moved")
    assert run.steps == [5, 10, 15]
    assert [run.snapshot(step).train["net.0"].rows for step in run.steps] == [20, 20, 20]
