"""Lightning, both packages: what its trainer does, seen from the run and its own loggers' files."""

import copy
import csv
import importlib
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fathom
from comparison import assert_read
from fathom.integrations.lightning import FathomCallback
from page_scripts import run_script
from tiny_transformers import MASK, B, T, gpt2, tokens

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]

pytestmark = [
    # Theirs: of workers, of the logging interval, and of what they use of torch.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)`"),
]


@pytest.fixture(params=PACKAGES)
def pl(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One of the packages, as if the other had not been imported."""
    package = importlib.import_module(request.param)
    for other in PACKAGES:
        if other != request.param:
            monkeypatch.delitem(sys.modules, other, raising=False)
    return package


class Boom(Exception):
    pass


def module(pl: Any, **options: Any) -> Any:
    """A module that keeps what its first layer returns, but for the sanity check."""

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self, lr: float | None = 0.1, fail_at: int = -1) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
            self.net[0].register_forward_hook(self.keep)
            self.seen: dict[str, list[Tensor]] = {"train": [], "eval": []}
            self.lr, self.fail_at = lr, fail_at

        def keep(self, layer: nn.Module, args: Any, output: Tensor) -> None:
            if not self.trainer.sanity_checking:
                self.seen["train" if self.training else "eval"].append(output.detach().clone())

        def taken(self) -> dict[str, np.ndarray[Any, Any]]:
            rows = {p: torch.cat(each).double().numpy() for p, each in self.seen.items() if each}
            self.seen = {"train": [], "eval": []}
            return rows

        def training_step(self, batch: Any, index: int) -> Tensor:
            if self.global_step == self.fail_at:
                raise Boom
            loss: Tensor = self.net(batch[0]).square().mean()
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.net(batch[0]).square().mean())

        def on_train_epoch_end(self) -> None:
            self.epochs = [*getattr(self, "epochs", []), self.taken()]

        def configure_optimizers(self) -> Any:
            return None if self.lr is None else torch.optim.SGD(self.parameters(), lr=self.lr)

    return Module(**options)


def loader(count: int, seed: int) -> DataLoader[Any]:
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(rows), batch_size=4)


TRAINING, VALIDATION = loader(20, 1), loader(12, 2)


def trainer(pl: Any, root: Path, callback: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "max_epochs": 3,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "callbacks": callback,
    }
    return pl.Trainer(default_root_dir=root, **{**defaults, **options})


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def assert_epoch(run: fathom.Run, step: int, rows: dict[str, Any]) -> None:
    snapshot = run.snapshot(step)
    for phase in ("train", "eval"):
        assert ("net.0" in snapshot.phase(phase)) == (phase in rows)
        if phase in rows:
            assert_read(snapshot.phase(phase)["net.0"], rows[phase], samples=len(rows[phase]))


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


def same(one: fathom.Snapshot, other: fathom.Snapshot) -> None:
    for phase in ("train", "eval"):
        assert list(one.phase(phase)) == list(other.phase(phase))
        for name, reading in one.phase(phase).items():
            assert torch.equal(reading.eigenvalues, other.phase(phase)[name].eigenvalues)
            assert reading.rows == other.phase(phase)[name].rows
    assert one.metrics.keys() >= {"val_loss"}


@pytest.mark.filterwarnings("ignore:You are using `torch.load`")
@pytest.mark.parametrize("at", [3, 7, 9, 13])
def test_a_training_resumed_from_a_checkpoint_records_what_an_uninterrupted_one_does(
    pl: Any, tmp_path: Path, at: int
) -> None:
    # Within an epoch Lightning begins the data anew, so here all batches are alike.
    training = DataLoader(TensorDataset(next(iter(TRAINING))[0].repeat(5, 1)), batch_size=4)
    whole = FathomCallback(tmp_path / "whole", every_n_epochs=2)
    trainer(pl, tmp_path, [whole], max_epochs=4).fit(module(pl), training, VALIDATION)

    def saving() -> Any:
        return pl.callbacks.ModelCheckpoint(
            tmp_path / "saved", save_top_k=-1, every_n_train_steps=at, filename="{step}"
        )

    callbacks = [FathomCallback(tmp_path / "run", every_n_epochs=2), saving()]
    broken = module(pl, fail_at=14)
    with pytest.raises(Boom):
        trainer(pl, tmp_path, callbacks, max_epochs=4, enable_checkpointing=True).fit(
            broken, training, VALIDATION
        )
    assert fathom.open_run(tmp_path / "run").steps == [10]
    again = [FathomCallback(tmp_path / "run", every_n_epochs=2), saving()]
    trainer(pl, tmp_path, again, max_epochs=4, enable_checkpointing=True).fit(
        module(pl), training, VALIDATION, ckpt_path=tmp_path / "saved" / f"step={at}.ckpt"
    )
    run, expected = fathom.open_run(tmp_path / "run"), fathom.open_run(tmp_path / "whole")
    assert run.steps == expected.steps == [10, 20]
    for step in run.steps:
        same(run.snapshot(step), expected.snapshot(step))


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


def test_the_same_trainer_goes_on_with_its_run(pl: Any, tmp_path: Path) -> None:
    fitted = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")], max_epochs=1)
    model = module(pl)
    fitted.fit(model, TRAINING)
    fitted.fit_loop.max_epochs = 2
    fitted.fit(model, TRAINING)
    assert fathom.open_run(tmp_path / "run").steps == [5, 10]


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


def test_a_run_that_is_there_is_refused_before_training_and_not_overwritten(
    pl: Any, tmp_path: Path
) -> None:
    model = module(pl)
    trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")]).fit(model, TRAINING)
    before = hooks_of(model)
    with pytest.raises(fathom.RunExistsError, match="run"):
        trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")]).fit(model, TRAINING)
    assert hooks_of(model) == before
    assert fathom.open_run(tmp_path / "run").steps == [5, 10, 15]


def test_validating_testing_and_a_run_for_trying_out_leave_nothing(pl: Any, tmp_path: Path) -> None:
    model = module(pl)
    model.test_step = model.validation_step
    before = hooks_of(model)
    alone = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")])
    alone.validate(model, VALIDATION, verbose=False)
    alone.test(model, VALIDATION, verbose=False)
    quick = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")], fast_dev_run=True)
    quick.fit(model, TRAINING, VALIDATION)
    assert not (tmp_path / "run").exists()
    assert hooks_of(model) == before


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


def test_both_packages_at_once_get_a_callback_of_both() -> None:
    packages = [importlib.import_module(name) for name in PACKAGES]
    assert all(isinstance(FathomCallback(), package.Callback) for package in packages)


_DDP = """
import sys, warnings
import numpy, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import {package} as pl
from fathom.integrations.lightning import FathomCallback

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
        self.net[0].register_forward_hook(self.keep)
        self.seen = {{"train": [], "eval": []}}

    def keep(self, layer, args, output):
        if not self.trainer.sanity_checking:
            self.seen["train" if self.training else "eval"].append(output.detach().clone())

    def training_step(self, batch, index):
        loss = self.net(batch[0]).square().mean()
        self.log("loss", loss, sync_dist=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.net(batch[0]).square().mean(), sync_dist=True)

    def on_train_epoch_end(self):
        rows = {{phase: torch.cat(each).double().numpy() for phase, each in self.seen.items()}}
        numpy.savez(f"rows-{{self.current_epoch}}-{{self.global_rank}}.npz", **rows)
        self.seen = {{"train": [], "eval": []}}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def loader(count, seed):
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(rows), batch_size=4)

trainer = pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False,
    enable_progress_bar=False, enable_model_summary=False, callbacks=[
        FathomCallback("run", budget=None),
        pl.callbacks.ModelCheckpoint(".", save_top_k=-1, every_n_train_steps=3),
    ],
)
trainer.fit(Module(), loader(32, 1), loader(16, 2))
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_under_ddp_the_rows_of_all_ranks_count(package: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(_DDP.format(package=package))
    source = Path(fathom.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-W", "ignore", "train.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=180,
        capture_output=True,
    )
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [4, 8]
    for epoch, step in enumerate(run.steps):
        ranks = [np.load(tmp_path / f"rows-{epoch}-{rank}.npz") for rank in range(2)]
        for phase, count in (("train", 32), ("eval", 16)):
            rows = np.concatenate([rank[phase] for rank in ranks])
            assert_read(run.snapshot(step).phase(phase)["net.0"], rows, samples=count)
        assert set(run.snapshot(step).metrics) == {"loss", "val_loss"}

    pl = importlib.import_module(package)
    callbacks = [
        FathomCallback(tmp_path / "run", budget=None),
        pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=3),
    ]
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", category=fathom.FathomWarning)
        alone = trainer(pl, tmp_path, callbacks, max_epochs=1, enable_checkpointing=True)
        (saved,) = tmp_path.glob("*step=3.ckpt")
        alone.fit(module(pl), loader(32, 1), VALIDATION, ckpt_path=saved)
    assert ["of rank 0 alone" in str(each.message) for each in told] == [True]
    assert run.steps == [8]
    assert run.snapshot(8).train["net.0"].samples == 20


def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    told = run_script("lightning.md", tmp_path)
    assert "[16, 32, 48] " in told
    run = fathom.open_run(tmp_path / "runs" / "classifier")
    assert run.steps == [16, 32, 48]
    assert run.snapshot().eval
