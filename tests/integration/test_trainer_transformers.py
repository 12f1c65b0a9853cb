"""Hugging Face's Trainer: what it does with a padded text, seen from the run and its own files."""

import copy
import gc
import importlib
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

import fathom
import reference
from comparison import assert_read
from fathom.integrations.transformers import FathomCallback
from page_scripts import run_script
from tiny_transformers import SMALL
from trainer_training import (
    NAME,
    QUIET,
    REAL,
    VALIDATION,
    Boom,
    Stop,
    collate,
    gpt2,
    hooks_of,
    trainer,
)

pytestmark = QUIET


class Witness(transformers.TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Keeps what a layer returns at real positions, up to each evaluation."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.mask = torch.empty(0)
        self.model, self.name = model, name
        self.rows: dict[str, list[Tensor]] = {"train": [], "eval": []}
        self.epochs: list[dict[str, np.ndarray[Any, Any]]] = []
        model.register_forward_pre_hook(self.keep_mask, with_kwargs=True)
        model.get_submodule(name).register_forward_hook(self.keep)

    def keep_mask(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        self.mask = kwargs["attention_mask"].bool()

    def keep(self, layer: nn.Module, args: Any, output: Tensor) -> None:
        real = output.detach()[self.mask].clone()
        self.rows["train" if self.model.training else "eval"].append(real)

    def on_evaluate(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        rows = {p: torch.cat(each).double().numpy() for p, each in self.rows.items() if each}
        self.epochs.append(rows)
        self.rows = {"train": [], "eval": []}


def test_every_evaluation_is_a_snapshot_without_padding(tmp_path: Path) -> None:
    model = gpt2()
    witness = Witness(model, NAME)
    before = hooks_of(model)
    made = trainer(tmp_path, model, [witness])
    made.add_callback(FathomCallback(tmp_path / "run", budget=None, layers=["*mlp*", "lm_head"]))
    made.train()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [4, 8, 12]
    for step, rows in zip(run.steps, witness.epochs, strict=True):
        snapshot = run.snapshot(step)
        for phase, samples in (("train", 16), ("eval", 12)):
            assert_read(snapshot.phase(phase)[NAME], rows[phase], samples=samples)
            reading = snapshot.phase(phase)["lm_head"]
            assert (reading.rows, reading.padded > 0) == (REAL[phase], True)
        assert {"loss", "eval_loss"} <= set(snapshot.metrics)
        assert not any("per_second" in name for name in snapshot.metrics)
    logged = [each["eval_loss"] for each in made.state.log_history if "eval_loss" in each]
    assert run.metrics["eval_loss"].tolist() == logged
    assert hooks_of(model) == before


def test_a_bert_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: Any = transformers.BertForMaskedLM(transformers.BertConfig(**SMALL))
    callback = FathomCallback(tmp_path / "run", budget=None)
    trainer(tmp_path, model, [callback], num_train_epochs=1).train()
    snapshot = fathom.open_run(tmp_path / "run").snapshot(4)
    name = "bert.encoder.layer.1.output.dense"
    assert (snapshot.train[name].rows, snapshot.eval[name].rows) == (REAL["train"], REAL["eval"])


@pytest.mark.parametrize(
    ("options", "steps", "evaluated"),
    [
        ({"eval_strategy": "no"}, [4, 8, 12], [0, 0, 0]),
        ({"eval_strategy": "steps", "eval_steps": 3}, [3, 6, 9, 12], [12] * 4),
        ({"eval_strategy": "steps", "eval_steps": 5}, [5, 10, 12], [12] * 3),
        ({"eval_on_start": True}, [0, 4, 8, 12], [12] * 4),
        ({"gradient_accumulation_steps": 2}, [2, 4, 6], [12] * 3),
        ({"max_steps": 6, "eval_strategy": "no"}, [4, 6], [0, 0]),
        ({"gradient_checkpointing": True}, [4, 8, 12], [12] * 3),
    ],
)
def test_snapshots_come_with_evaluations_or_epochs_and_miss_no_row(
    tmp_path: Path, options: dict[str, Any], steps: list[int], evaluated: list[int]
) -> None:
    # Where batches of several steps are checkpointed, no row may count twice.
    callback = FathomCallback(tmp_path / "run", budget=None, layers=[NAME])
    with warnings.catch_warnings():
        # Theirs: gradient_checkpointing has got another name.
        warnings.filterwarnings("ignore", ".*checkpointing", FutureWarning)
        made = trainer(tmp_path, gpt2(), [callback], **options)
        made.train()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == steps
    snapshots = [run.snapshot(step) for step in steps]
    assert [s.eval[NAME].samples if s.eval else 0 for s in snapshots] == evaluated
    trained = sum(s.train[NAME].samples for s in snapshots if s.train)
    assert trained == 4 * options.get("gradient_accumulation_steps", 1) * made.state.global_step


def test_several_sets_of_evaluation_are_one_snapshot(tmp_path: Path) -> None:
    made = trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run", budget=None)])
    made.eval_dataset = {"first": VALIDATION[:4], "second": VALIDATION}
    made.train()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [4, 8, 12]
    assert run.snapshot(8).eval[NAME].samples == 16
    assert {"eval_first_loss", "eval_second_loss"} <= set(run.metrics)


def test_the_numbers_reach_the_log_history_and_the_trainers_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    made = trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run")], report_to=["tensorboard"])
    made.train()
    run = fathom.open_run(tmp_path / "run")
    name = f"fathom/eval/saturation/{NAME}"
    expected = run.statistic("saturation", phase="eval")[:, run.layers.index(NAME)]
    history = [each for each in made.state.log_history if name in each]
    assert [(each["step"], each["epoch"]) for each in history] == [(4, 1.0), (8, 2.0), (12, 3.0)]
    np.testing.assert_allclose([each[name] for each in history], expected)
    json.dumps(made.state.log_history)
    # Transformers puts what is of no evaluation below train/.
    events = EventAccumulator(str(tmp_path / "tb")).Reload().Scalars(f"train/{name}")
    assert [event.step for event in events] == [4, 8, 12]
    np.testing.assert_allclose([event.value for event in events], expected, rtol=1e-6)


def fails(made: Any) -> None:
    with pytest.raises(Boom):
        made.train()


@pytest.mark.parametrize("place", ["callback", "model", "data"])
def test_an_exception_takes_the_hooks_off_and_leaves_the_run_to_others(
    tmp_path: Path, place: str
) -> None:
    model = gpt2()
    callback = FathomCallback(tmp_path / "run")
    made = trainer(tmp_path, model, [callback, *([Stop(6)] if place == "callback" else [])])
    calls = iter(range(1000))

    def fail(*args: Any) -> Any:
        if next(calls) == 9:
            raise Boom
        return collate(*args) if place == "data" else None

    if place == "data":
        made.data_collator = fail
    if place == "model":
        model.lm_head.register_forward_hook(fail)
    before = hooks_of(model)
    fails(made)
    gc.collect()
    # The trainer, the model and the callback are all still there.
    assert hooks_of(model) == before
    assert made.callback_handler.callbacks.count(callback) == 1
    assert fathom.open_run(tmp_path / "run").steps == [4]
    with fathom.watch(model, tmp_path / "run", resume=True) as monitor:
        monitor.snapshot(100)


def test_a_logger_that_fails_ends_neither_the_training_nor_the_run(tmp_path: Path) -> None:
    integrations: Any = importlib.import_module("transformers.integrations")

    class Broken(integrations.TensorBoardCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if any(name.startswith("fathom/") for name in others["logs"]):
                raise OSError("disk full")

    callbacks = [Broken(), FathomCallback(tmp_path / "run")]
    with pytest.warns(fathom.FathomWarning, match="gets no more numbers .*OSError: disk full") as w:
        trainer(tmp_path, gpt2(), callbacks).train()
    assert sum("gets no more" in str(each.message) for each in w) == 1
    assert fathom.open_run(tmp_path / "run").steps == [4, 8, 12]


def test_the_training_is_the_same_to_the_bit(tmp_path: Path) -> None:
    models = [gpt2(), gpt2()]
    for model, callbacks in zip(models, ([], [FathomCallback(tmp_path / "run")]), strict=True):
        trainer(tmp_path, model, callbacks).train()
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_evaluating_and_predicting_alone_are_not_watched(tmp_path: Path) -> None:
    made = trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run")])
    made.evaluate()
    made.predict(VALIDATION)
    assert not (tmp_path / "run").exists()


def test_a_callback_is_copied_and_pickled_and_refuses_wrong_arguments(tmp_path: Path) -> None:
    callback = FathomCallback(tmp_path / "run", layers=[NAME])
    trainer(tmp_path, gpt2(), [callback], num_train_epochs=1).train()
    for number, each in enumerate((copy.deepcopy(callback), pickle.loads(pickle.dumps(callback)))):
        each._watching.run = tmp_path / f"run{number}"
        trainer(tmp_path, gpt2(), [each], num_train_epochs=1).train()
        assert fathom.open_run(tmp_path / f"run{number}").layers == [NAME]
    with pytest.raises(TypeError, match="bugdet"):
        FathomCallback(tmp_path / "run", bugdet=1)


def test_padding_would_change_the_numbers(tmp_path: Path) -> None:
    # So that the exact comparison above can fail: with padding the spectrum is another.
    model = gpt2().eval()
    batch = collate(VALIDATION)
    rows: list[Tensor] = []
    handle = model.get_submodule(NAME).register_forward_hook(
        lambda layer, args, output: rows.append(output.detach())
    )
    model(**batch)
    handle.remove()
    real = reference.eigenvalues(rows[0][batch["attention_mask"].bool()])
    padded = reference.eigenvalues(rows[0].flatten(0, 1))
    assert not np.allclose(real, padded, rtol=1e-3)


def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    told = run_script("transformers.md", tmp_path)
    assert "[8, 16, 24] " in told
    run = fathom.open_run(tmp_path / "runs" / "gpt")
    assert run.steps == [8, 16, 24]
    assert run.snapshot().eval
