"""Handlers on ignite's engines: what they evaluate, raise, stop and save."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, TerminateOnNan
from ignite.metrics import Average
from torch import Tensor, nn

import fathom
from comparison import assert_read
from fathom.integrations.ignite import FathomHandler
from page_scripts import run_script

# Theirs: a metric keeps its results in a way that torch will change.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning:ignite")


class Boom(Exception):
    pass


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))


def batches(count: int, seed: int) -> list[Tensor]:
    return list(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)).split(4))


TRAINING, VALIDATION = batches(20, 1), batches(12, 2)


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def engines(model: nn.Module) -> tuple[Engine, Engine]:
    """An engine that trains and one that evaluates."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train(engine: Engine, batch: Tensor) -> Any:
        model.train()
        optimizer.zero_grad()
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    def evaluate(engine: Engine, batch: Tensor) -> float:
        model.eval()
        with torch.no_grad():
            return float(model(batch).square().mean())

    trainer, evaluator = Engine(train), Engine(evaluate)
    Average().attach(trainer, "loss")
    Average().attach(evaluator, "loss")
    return trainer, evaluator


def test_an_epoch_is_a_snapshot_with_the_evaluation_that_was_added_later(tmp_path: Path) -> None:
    model = network()
    before = hooks_of(model)
    rows: list[Tensor] = []
    handle = model[0].register_forward_hook(lambda layer, args, out: rows.append(out.detach()))
    trainer, evaluator = engines(model)
    handler = FathomHandler(model, tmp_path / "run", budget=None)
    assert handler.attach(trainer, evaluator={"val": evaluator}) is handler
    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda: evaluator.run(VALIDATION))
    for epochs in (3, 5):  # the second time it goes on
        trainer.run(TRAINING, max_epochs=epochs)
        assert hooks_of(model) == before + 1
    handle.remove()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 10, 15, 20, 25]
    for epoch, step in enumerate(run.steps):
        snapshot = run.snapshot(step)
        trained, rows = torch.cat(rows[:5]).double().numpy(), rows[5:]
        assert_read(snapshot.train["0"], trained, samples=20)
        assert set(snapshot.metrics) == ({"loss", "val_loss"} if epoch % 2 else {"loss"})
        if epoch % 2:
            evaluated, rows = torch.cat(rows[:3]).double().numpy(), rows[3:]
            assert_read(snapshot.eval["0"], evaluated, samples=12)
        else:
            assert not snapshot.eval
    assert rows == []


def failing(model: nn.Module, at: int) -> Engine:
    trainer, _ = engines(model)

    def fail(engine: Engine) -> None:
        if engine.state.iteration == at:
            raise Boom

    trainer.add_event_handler(Events.ITERATION_COMPLETED, fail)
    return trainer


@pytest.mark.parametrize("handlers", [1, 2])
def test_an_exception_ends_watching_and_comes_out(tmp_path: Path, handlers: int) -> None:
    model = network()
    before = hooks_of(model)
    trainer = failing(model, 7)
    for number in range(handlers):
        FathomHandler(model, tmp_path / f"run{number}").attach(trainer)
    with pytest.raises(Boom):
        trainer.run(TRAINING, max_epochs=3)
    assert hooks_of(model) == before
    assert fathom.open_run(tmp_path / "run0").steps == [5]
    with fathom.watch(model, tmp_path / "run0", resume=True) as monitor:
        monitor.snapshot(100)


def test_an_exception_that_the_user_handles_stays_handled(tmp_path: Path) -> None:
    model = network()
    trainer = failing(model, 7)
    FathomHandler(model, tmp_path / "run").attach(trainer)
    heard: list[BaseException] = []
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: heard.append(error))
    trainer.run(TRAINING, max_epochs=3)
    assert [type(each) for each in heard] == [Boom]
    assert hooks_of(model) == 0


def test_a_training_that_is_terminated_records_the_rest(tmp_path: Path) -> None:
    model = network()
    trainer, _ = engines(model)
    FathomHandler(model, tmp_path / "run").attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())

    @trainer.on(Events.ITERATION_COMPLETED(once=7))  # type: ignore[untyped-decorator, unused-ignore]
    def break_it() -> None:
        nn.init.constant_(model[0].bias, float("nan"))

    trainer.run(TRAINING, max_epochs=3)
    assert trainer.state.iteration == 8
    assert hooks_of(model) == 0
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 8]
    assert run.snapshot(8).train["0"].dropped == 4


@pytest.mark.parametrize("at", [3, 5, 7])
def test_a_training_resumed_from_a_checkpoint_records_what_an_uninterrupted_one_does(
    tmp_path: Path, at: int
) -> None:
    whole = network()
    trainer, _ = engines(whole)
    FathomHandler(whole, tmp_path / "whole").attach(trainer)
    trainer.run(TRAINING, max_epochs=3)

    model = network()
    trainer = failing(model, 12)
    handler = FathomHandler(model, tmp_path / "run").attach(trainer)
    items = {"model": model, "trainer": trainer, "fathom": handler}
    saver = Checkpoint(items, DiskSaver(str(tmp_path / "saved")), filename_pattern="c.pt")
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=at), saver)
    with pytest.raises(Boom):
        trainer.run(TRAINING, max_epochs=3)

    model = network()
    trainer, _ = engines(model)
    handler = FathomHandler(model, tmp_path / "run").attach(trainer)
    items = {"model": model, "trainer": trainer, "fathom": handler}
    saved = torch.load(tmp_path / "saved" / "c.pt", weights_only=True)
    Checkpoint.load_objects(items, saved)
    # Ignite begins an epoch's data anew, so it is given what is left.
    left = [*TRAINING[at % 5 :], *TRAINING] if at % 5 else TRAINING
    trainer.run(iter([*left, *TRAINING]), max_epochs=3, epoch_length=5)
    run, expected = fathom.open_run(tmp_path / "run"), fathom.open_run(tmp_path / "whole")
    assert run.steps == expected.steps == [5, 10, 15]
    for step in run.steps:
        one, other = run.snapshot(step).train, expected.snapshot(step).train
        assert list(one) == list(other)
        for name, reading in one.items():
            assert torch.equal(reading.eigenvalues, other[name].eigenvalues)
            assert reading.rows == other[name].rows


def test_a_second_training_goes_on_behind_the_first_with_all_of_its_rows_and_says_so(
    tmp_path: Path,
) -> None:
    model = network()
    trainer, _ = engines(model)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(event_filter=at_seven), trainer.terminate)
    FathomHandler(model, tmp_path / "run", budget=None).attach(trainer)
    trainer.run(TRAINING, max_epochs=2)
    trainer.state.iteration = trainer.state.epoch = 0
    with pytest.warns(fathom.FathomWarning, match="begins at step 0, .* is at 7 .*on at 8"):
        trainer.run(TRAINING, max_epochs=2)
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 7, 8, 9]
    assert [run.snapshot(step).train["0"].rows for step in run.steps] == [20, 8, 20, 8]


def at_seven(engine: Engine, iteration: int) -> bool:
    return iteration == 7


def test_what_is_behind_another_training_stays_when_the_trainer_goes_on(tmp_path: Path) -> None:
    model = network()
    first, _ = engines(model)
    handler = FathomHandler(model, tmp_path / "run").attach(first)
    first.run(TRAINING, max_epochs=3)
    second, _ = engines(model)
    handler.attach(second)
    second.run(TRAINING, max_epochs=2)
    second.run(TRAINING, max_epochs=3)
    assert fathom.open_run(tmp_path / "run").steps == [5, 10, 15, 16, 17, 18]


def test_metrics_that_are_no_numbers_are_left_out_and_those_with_a_gradient_taken(
    tmp_path: Path,
) -> None:
    model = network()
    trainer, _ = engines(model)

    @trainer.on(Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator, unused-ignore]
    def add() -> None:
        trainer.state.metrics |= {
            "complex": torch.tensor(1 + 2j),
            "nowhere": torch.empty((), device="meta"),
            "huge": 10**400,
            "list": [1],
            "good": torch.ones(1, requires_grad=True) * 3,
        }

    FathomHandler(model, tmp_path / "run").attach(trainer)
    trainer.run(TRAINING, max_epochs=1)
    assert fathom.open_run(tmp_path / "run").snapshot().metrics.keys() == {"loss", "good"}


def test_a_run_that_is_there_is_refused_before_training(tmp_path: Path) -> None:
    for _ in range(2):
        model = network()
        trainer, _ = engines(model)
        FathomHandler(model, tmp_path / "run").attach(trainer)
        if (tmp_path / "run").exists():
            with pytest.raises(fathom.RunExistsError, match="run"):
                trainer.run(TRAINING, max_epochs=1)
        else:
            trainer.run(TRAINING, max_epochs=1)
    assert fathom.open_run(tmp_path / "run").steps == [5]


def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    told = run_script("ignite.md", tmp_path)
    assert "[16, 32, 48] " in told
    run = fathom.open_run(tmp_path / "runs" / "classifier")
    assert run.steps == [16, 32, 48]
    assert run.snapshot().eval


def snapshots_in_memory() -> int:
    gc.collect()
    return sum(type(each) is fathom.Snapshot for each in gc.get_objects())


def test_snapshots_are_not_kept_in_memory(tmp_path: Path) -> None:
    model = network()
    trainer, _ = engines(model)
    before = snapshots_in_memory()
    handler = FathomHandler(model, tmp_path / "run").attach(trainer)
    trainer.run(TRAINING, max_epochs=4)
    assert snapshots_in_memory() - before == 1  # the last one, which the monitor shows
    del handler
