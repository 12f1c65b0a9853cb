"""Lightning, both packages: one training after the other, checkpoints, and what drops no step."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest

import fathom
import fathom.sinks
from fathom.integrations.lightning import FathomCallback
from lightning_training import QUIET, TRAINING, VALIDATION, hooks_of, module, saving, trainer

pytestmark = QUIET


def test_the_same_trainer_goes_on_with_its_run(pl: Any, tmp_path: Path) -> None:
    fitted = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")], max_epochs=1)
    model = module(pl)
    fitted.fit(model, TRAINING)
    fitted.fit_loop.max_epochs = 2
    fitted.fit(model, TRAINING)
    assert fathom.open_run(tmp_path / "run").steps == [5, 10]


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


def steps_of(folder: Path) -> list[int]:
    return fathom.open_run(folder).steps


class OtherRun:
    """The run of another training, which nobody asked to go on with."""

    def __init__(self, pl: Any, root: Path) -> None:
        self.folder = root / "run"
        trainer(pl, root, [FathomCallback(self.folder)]).fit(module(pl), TRAINING)

    def assert_refused(self, fitted: Any, model: Any) -> None:
        with pytest.raises(fathom.RunExistsError, match="run"):
            fitted.fit(model, TRAINING, VALIDATION)
        assert steps_of(self.folder) == [5, 10, 15]


def test_after_a_search_for_a_learning_rate_another_run_is_refused(pl: Any, tmp_path: Path) -> None:
    other = OtherRun(pl, tmp_path)
    fitted = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")], max_epochs=1)
    model = module(pl)
    tuner = importlib.import_module(f"{pl.__name__}.tuner").Tuner(fitted)
    tuner.lr_find(model, TRAINING, VALIDATION, num_training=8, update_attr=False)
    other.assert_refused(fitted, model)


def test_with_a_finder_of_learning_rates_another_run_is_refused(pl: Any, tmp_path: Path) -> None:
    other = OtherRun(pl, tmp_path)
    finder = pl.callbacks.LearningRateFinder(num_training_steps=8)
    callbacks = [FathomCallback(tmp_path / "run"), finder]
    other.assert_refused(trainer(pl, tmp_path, callbacks, max_epochs=1), module(pl))


@pytest.mark.parametrize("epoch", [None, 1])
def test_what_a_finder_of_learning_rates_tries_does_not_count(
    pl: Any, tmp_path: Path, epoch: int | None
) -> None:
    class Finder(pl.callbacks.LearningRateFinder):  # type: ignore[misc]
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            if epoch is None:
                super().on_fit_start(trainer, pl_module)

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == epoch:
                self.lr_find(trainer, pl_module)

    finder = Finder(num_training_steps=4, update_attr=False)
    callbacks = [FathomCallback(tmp_path / "run", budget=None), finder]
    trainer(pl, tmp_path, callbacks).fit(module(pl), TRAINING)
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 10, 15]
    assert [run.snapshot(step).train["net.0"].rows for step in run.steps] == [20, 20, 20]


@pytest.mark.parametrize("what", ["validate", "test"])
def test_a_checkpoint_that_is_evaluated_is_not_gone_on_from(
    pl: Any, tmp_path: Path, what: str
) -> None:
    other = OtherRun(pl, tmp_path)
    first = trainer(pl, tmp_path, [], max_epochs=1)
    first.fit(module(pl), TRAINING)
    first.save_checkpoint(tmp_path / "first.ckpt")
    model = module(pl)
    model.test_step = model.validation_step
    fitted = trainer(pl, tmp_path, [FathomCallback(tmp_path / "run")], max_epochs=1)
    getattr(fitted, what)(model, VALIDATION, ckpt_path=tmp_path / "first.ckpt", verbose=False)
    other.assert_refused(fitted, model)


def test_a_checkpoint_of_its_own_that_is_tested_drops_no_step(pl: Any, tmp_path: Path) -> None:
    saved = saving(pl, tmp_path)
    callbacks = [FathomCallback(tmp_path / "run"), *saved.pop("callbacks")]
    model = module(pl)
    model.test_step = model.validation_step
    fitted = trainer(pl, tmp_path, callbacks, **saved)
    fitted.fit(model, TRAINING, VALIDATION)
    fitted.test(model, VALIDATION, ckpt_path=tmp_path / "saved" / "step=5.ckpt", verbose=False)
    fitted.fit_loop.max_epochs = 5
    fitted.fit(model, TRAINING, VALIDATION)
    assert steps_of(tmp_path / "run") == [5, 10, 15, 20, 25]


def test_what_is_to_be_dropped_first_is_dropped_once(pl: Any, tmp_path: Path) -> None:
    OtherRun(pl, tmp_path)
    callback = FathomCallback(tmp_path / "run", resume_from=6)
    fitted = trainer(pl, tmp_path, [callback], max_epochs=2)
    model = module(pl)
    fitted.fit(model, TRAINING)
    assert steps_of(tmp_path / "run") == [5, 6, 10]
    fitted.fit_loop.max_epochs = 4
    fitted.fit(model, TRAINING)
    assert steps_of(tmp_path / "run") == [5, 6, 10, 15, 20]


def test_a_second_training_goes_on_behind_the_first_with_all_of_its_rows_and_says_so(
    pl: Any, tmp_path: Path
) -> None:
    callback = FathomCallback(tmp_path / "run", every_n_epochs=2, budget=None)
    trainer(pl, tmp_path, [callback]).fit(module(pl), TRAINING)
    with pytest.warns(fathom.FathomWarning, match="begins at step 0, .* is at 15 .*on at 16"):
        trainer(pl, tmp_path, [callback]).fit(module(pl), TRAINING)
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [10, 15, 16, 17]
    assert [run.snapshot(step).train["net.0"].rows for step in run.steps] == [40, 20, 40, 20]


def test_a_sink_gets_the_numbers_of_a_second_training_too(pl: Any, tmp_path: Path) -> None:
    sink = fathom.sinks.CSV(tmp_path / "numbers.csv")
    fitted = trainer(pl, tmp_path, [FathomCallback(None, sinks=[sink])], max_epochs=1)
    model = module(pl)
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", category=fathom.FathomWarning)
        fitted.fit(model, TRAINING)
        fitted.fit_loop.max_epochs = 2
        fitted.fit(model, TRAINING)
    assert [str(each.message) for each in told] == []
    lines = (tmp_path / "numbers.csv").read_text().splitlines()[1:]
    assert {line.partition(",")[0] for line in lines} == {"5", "10"}


class Listener:
    """A sink that notes what it is given."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def write(self, snapshot: fathom.Snapshot) -> None:
        self.steps.append(snapshot.step)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", ["keep", "sinks", "resume", "resume_from"])
def test_a_run_for_trying_out_leaves_nothing_whatever_was_asked_for(
    pl: Any, tmp_path: Path, name: str
) -> None:
    options: dict[str, Any] = {"keep": "covariance", "resume": True, "resume_from": 3}
    options["sinks"] = [Listener()]
    callback = FathomCallback(tmp_path / "run", **{name: options[name]})
    trainer(pl, tmp_path, [callback], fast_dev_run=True).fit(module(pl), TRAINING, VALIDATION)
    assert not (tmp_path / "run").exists()
    assert options["sinks"][0].steps == []


def test_after_a_run_for_trying_out_another_run_is_refused(pl: Any, tmp_path: Path) -> None:
    other = OtherRun(pl, tmp_path)
    callback = FathomCallback(tmp_path / "run")
    trainer(pl, tmp_path, [callback], fast_dev_run=True).fit(module(pl), TRAINING, VALIDATION)
    other.assert_refused(trainer(pl, tmp_path, [callback], max_epochs=1), module(pl))
