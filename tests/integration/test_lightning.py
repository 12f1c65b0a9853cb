"""Lightning, both packages: what its trainer does, seen from the run and its own loggers' files."""

import copy
import csv
import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import fathom
from fathom.integrations.lightning import FathomCallback
from lightning_training import (
    PACKAGES,
    QUIET,
    TRAINING,
    VALIDATION,
    Boom,
    assert_epoch,
    hooks_of,
    module,
    trainer,
)
from page_scripts import run_script
from tiny_transformers import MASK, B, T, gpt2, tokens

pytestmark = QUIET


def test_an_epoch_is_a_snapshot_with_its_validation_and_without_the_sanity_check(
    pl: Any, tmp_path: Path
) -> None:
    model = module(pl)
    before = hooks_of(model)
    callback = FathomCallback(tmp_path / "run", budget=None)
    assert isinstance(callback, pl.Callback)
    # Not in a list, which Lightning takes of its own callbacks alone.
    trainer(pl, tmp_path, callback).fit(model, TRAINING, VALIDATION)
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 10, 15]
    assert [len(rows["eval"]) for rows in model.epochs] == [12, 12, 12]
    for step, rows in zip(run.steps, model.epochs, strict=True):
        assert_epoch(run, step, rows)
        assert set(run.snapshot(step).metrics) == {"loss", "loss_step", "loss_epoch", "val_loss"}
    assert hooks_of(model) == before


@pytest.mark.parametrize(
    ("options", "steps", "validated"),
    [
        ({"check_val_every_n_epoch": 2}, [5, 10, 15], [0, 12, 0]),
        ({"val_check_interval": 2}, [5, 10, 15], [24, 24, 24]),
        ({"val_check_interval": 7, "check_val_every_n_epoch": None}, [5, 10, 15], [0, 12, 12]),
        ({"max_steps": 7, "max_epochs": -1}, [5, 7], [12, 0]),
        ({"accumulate_grad_batches": 5}, [1, 2, 3], [12, 12, 12]),
        ({"precision": "bf16-mixed"}, [5, 10, 15], [12, 12, 12]),
    ],
)
def test_whatever_the_trainer_validates_in_an_epoch_is_in_its_snapshot(
    pl: Any, tmp_path: Path, options: dict[str, Any], steps: list[int], validated: list[int]
) -> None:
    model = module(pl)
    callback = FathomCallback(tmp_path / "run", budget=None)
    trainer(pl, tmp_path, [callback], **options).fit(model, TRAINING, VALIDATION)
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == steps
    assert [len(rows.get("eval", ())) for rows in model.epochs] == validated
    for step, rows in zip(steps, model.epochs, strict=True):
        assert_epoch(run, step, rows)


def test_of_several_epochs_together_the_rest_is_a_last_snapshot(pl: Any, tmp_path: Path) -> None:
    model = module(pl)
    callback = FathomCallback(tmp_path / "run", every_n_epochs=2, budget=None, layers=["net.0"])
    trainer(pl, tmp_path, [callback]).fit(model, TRAINING, VALIDATION)
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [10, 15]
    assert run.layers == ["net.0"]
    assert [run.snapshot(step).train["net.0"].rows for step in run.steps] == [40, 20]


def test_without_an_optimizer_the_steps_go_on_all_the_same(pl: Any, tmp_path: Path) -> None:
    model = module(pl, lr=None)
    model.automatic_optimization = False
    callback = FathomCallback(tmp_path / "run")
    with pytest.warns(UserWarning, match="optimizer"):
        trainer(pl, tmp_path, [callback]).fit(model, TRAINING, VALIDATION)
    assert fathom.open_run(tmp_path / "run").steps == [0, 1, 2]


def test_the_numbers_reach_the_trainers_loggers(pl: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = importlib.import_module(f"{pl.__name__}.loggers")
    made = [loggers.CSVLogger(tmp_path / "csv"), loggers.TensorBoardLogger(tmp_path / "tb")]
    callback = FathomCallback(tmp_path / "run", budget=None)
    trainer(pl, tmp_path, [callback], logger=made).fit(module(pl), TRAINING, VALIDATION)
    run = fathom.open_run(tmp_path / "run")
    name = "fathom/eval/saturation/net.0"
    expected = run.statistic("saturation", phase="eval")[:, run.layers.index("net.0")]
    with Path(made[0].log_dir, "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(name)]
    assert [int(row["step"]) for row in rows] == [5, 10, 15]
    np.testing.assert_allclose([float(row[name]) for row in rows], expected)
    events = EventAccumulator(made[1].log_dir).Reload().Scalars(name)
    assert [event.step for event in events] == [5, 10, 15]
    np.testing.assert_allclose([event.value for event in events], expected, rtol=1e-6)


def test_a_logger_that_fails_ends_neither_the_training_nor_the_run(pl: Any, tmp_path: Path) -> None:
    class Broken(importlib.import_module(f"{pl.__name__}.loggers").CSVLogger):  # type: ignore[misc]
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            if any(name.startswith("fathom/") for name in metrics):
                raise OSError("disk full")
            super().log_metrics(metrics, step)

    callback = FathomCallback(tmp_path / "run")
    with pytest.warns(fathom.FathomWarning, match="gets no more numbers .*OSError: disk full") as w:
        trainer(pl, tmp_path, [callback], logger=Broken(tmp_path)).fit(module(pl), TRAINING)
    assert sum("gets no more" in str(each.message) for each in w) == 1
    assert fathom.open_run(tmp_path / "run").steps == [5, 10, 15]


@pytest.mark.parametrize("at", [0, 7])
def test_an_exception_takes_the_hooks_off_and_leaves_the_run_to_others(
    pl: Any, tmp_path: Path, at: int
) -> None:
    model = module(pl, fail_at=at)
    before = hooks_of(model)
    with pytest.raises(Boom):
        trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")]).fit(model, TRAINING, VALIDATION)
    assert hooks_of(model) == before
    assert fathom.open_run(tmp_path / "run").steps == [5][: at > 5]
    # Another may write it: it is closed.
    with fathom.watch(model, tmp_path / "run", resume=True) as monitor:
        monitor.snapshot(100)


def test_the_training_is_the_same_to_the_bit(pl: Any, tmp_path: Path) -> None:
    models = [module(pl), module(pl)]
    for model, callbacks in zip(models, ([], [FathomCallback(tmp_path / "run")]), strict=True):
        trainer(pl, tmp_path, callbacks).fit(model, TRAINING, VALIDATION)
    one, other = (model.net.state_dict() for model in models)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_module_with_a_compiled_part_is_watched(pl: Any, tmp_path: Path) -> None:
    torch._dynamo.reset()
    model = module(pl)
    model.net = torch.compile(model.net, backend="eager")
    trainer(pl, tmp_path, [FathomCallback(tmp_path / "run", budget=None)]).fit(
        model, TRAINING, VALIDATION
    )
    snapshot = fathom.open_run(tmp_path / "run").snapshot(5)
    assert (snapshot.train["net.0"].rows, snapshot.eval["net.2"].rows) == (20, 12)
    torch._dynamo.reset()


def test_a_model_of_transformers_inside_the_module_is_read_without_padding(tmp_path: Path) -> None:
    pl: Any = importlib.import_module(PACKAGES[0])

    class Language(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = gpt2()

        def training_step(self, batch: Any, index: int) -> Tensor:
            ids, mask = batch
            loss: Tensor = self.model(input_ids=ids, attention_mask=mask, labels=ids).loss
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = DataLoader(TensorDataset(tokens(T), MASK), batch_size=B)
    callback = FathomCallback(tmp_path / "run", budget=None)
    trainer(pl, tmp_path, [callback], max_epochs=1).fit(Language(), data)
    readings = fathom.open_run(tmp_path / "run").snapshot(1).train
    assert {reading.rows for reading in readings.values()} == {int(MASK.sum())}
    assert {reading.padded for reading in readings.values()} == {int((1 - MASK).sum())}


def test_a_callback_is_copied_and_pickled_and_derived_from(pl: Any, tmp_path: Path) -> None:
    class Mine(FathomCallback, pl.Callback):  # type: ignore[misc]
        pass

    callback = FathomCallback(tmp_path / "run", every_n_epochs=2, layers=["net.0"])
    assert type(Mine()) is Mine
    for each in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert type(each) is type(callback)
        assert each.state_key == callback.state_key
    trainer(pl, tmp_path, [copy.deepcopy(callback)]).fit(module(pl), TRAINING)
    assert fathom.open_run(tmp_path / "run").steps == [10, 15]
    assert fathom.open_run(tmp_path / "run").layers == ["net.0"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every_n_epochs": 0}, fathom.ArgumentError, "every_n_epochs must be 1 or more, got 0"),
        ({"every_n_epochs": 1.5}, fathom.ArgumentError, "every_n_epochs must be a whole number"),
        ({"bugdet": 1}, TypeError, "bugdet"),
    ],
)
def test_wrong_arguments_are_refused_when_the_callback_is_made(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FathomCallback(None, **options)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_class_is_a_callback_for_what_is_configured_by_name(package: str) -> None:
    # As LightningCLI asks before it makes one.
    script = (
        f"import sys, {package} as pl\n"
        "from fathom.integrations.lightning import FathomCallback\n"
        "assert issubclass(FathomCallback, pl.Callback)\n"
        "assert type(FathomCallback()) is FathomCallback\n"
        f"assert not {set(PACKAGES) - {package}} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(fathom.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_both_packages_at_once_get_a_callback_of_both() -> None:
    packages = [importlib.import_module(name) for name in PACKAGES]
    assert all(isinstance(FathomCallback(), package.Callback) for package in packages)


def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    told = run_script("lightning.md", tmp_path)
    assert "[16, 32, 48] " in told
    run = fathom.open_run(tmp_path / "runs" / "classifier")
    assert run.steps == [16, 32, 48]
    assert run.snapshot().eval
