"""A tracker in real loops of Accelerate, on one process and on two."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fathom
from comparison import assert_read
from fathom.integrations.accelerate import FathomTracker
from page_scripts import run_script
from preloaded import ranks


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Accelerate keeps its state for the whole process."""
    yield
    AcceleratorState._reset_state(True)
    PartialState._reset_state()
    GradientState._reset_state()


class Boom(Exception):
    pass


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def batches(count: int, seed: int) -> DataLoader[Any]:
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(rows), batch_size=4)


def train(accelerator: Any, model: nn.Module) -> None:
    """Two epochs, with a log at each step and one after each evaluation."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, training, validation = accelerator.prepare(
        model, optimizer, batches(20, 1), batches(12, 2)
    )
    step = 0
    for _ in range(2):
        model.train()
        for (batch,) in training:
            optimizer.zero_grad()
            loss = model(batch).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            step += 1
            accelerator.log({"loss": loss.item(), "note": "text"}, step=step)
        model.eval()
        with torch.no_grad():
            for (batch,) in validation:
                model(batch)
        accelerator.log({"accuracy": 0.5 + step}, step=step)


def test_a_log_of_the_named_value_is_a_snapshot(tmp_path: Path) -> None:
    model = network()
    before = hooks_of(model)
    tracker = FathomTracker(tmp_path / "run", model, at="accuracy", budget=None, layers=["2"])
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("project", config={"lr": 0.1})
    assert accelerator.get_tracker("fathom", unwrap=True).layers == ["2"]
    train(accelerator, model)
    accelerator.end_training()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 10]
    assert run.metrics["accuracy"].tolist() == [5.5, 10.5]
    assert set(run.metrics) == {"loss", "accuracy"}
    assert [run.snapshot(s).train["2"].rows for s in run.steps] == [20, 20]
    assert [run.snapshot(s).eval["2"].rows for s in run.steps] == [12, 12]
    assert hooks_of(model) == before


def test_without_a_name_every_log_is_one_and_the_model_may_come_later(tmp_path: Path) -> None:
    tracker = FathomTracker(tmp_path / "run", budget=None)
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("project")
    model: Any = accelerator.prepare(network())
    tracker.watch(model)
    data = [torch.randn(7, 6), torch.randn(9, 6)]
    for batch in data:
        model(batch)
        accelerator.log({"loss": torch.tensor(1.5)})
    accelerator.end_training()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [0, 1]
    for step, batch in enumerate(data):
        rows = model[0](batch).detach().double().numpy()
        assert_read(run.snapshot(step).train["0"], rows, samples=len(batch))
    assert run.metrics["loss"].tolist() == [1.5, 1.5]


def test_what_comes_at_the_same_step_goes_to_the_next_snapshot(tmp_path: Path) -> None:
    model = network()
    tracker = FathomTracker(tmp_path / "run", model)
    tracker.start()
    for step, values in ((1, {"a": 1}), (1, {"b": 2}), (0, {"c": 3}), (2, {"step": 9, "a": 4})):
        model(torch.randn(5, 6))
        tracker.log(values, step=step)
    tracker.finish()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [1, 2]
    assert run.snapshot(1).metrics == {"a": 1}
    assert run.snapshot(2).metrics == {"a": 4, "b": 2, "c": 3}


def test_what_was_logged_after_the_last_snapshot_is_a_snapshot_of_its_own(tmp_path: Path) -> None:
    model = network()
    tracker = FathomTracker(tmp_path / "run", model, at="accuracy", budget=None)
    tracker.start()
    for rows, step, values in ((4, 1, {"accuracy": 1}), (40, 2, {"loss": 5}), (3, 3, {"loss": 6})):
        model(torch.randn(rows, 6))
        tracker.log(values, step=step)
    tracker.finish()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [1, 3]
    assert [run.snapshot(step).train["0"].rows for step in run.steps] == [4, 43]
    assert run.snapshot(3).metrics == {"loss": 6}


def test_a_name_that_is_never_logged_is_told(tmp_path: Path) -> None:
    model = network()
    tracker = FathomTracker(tmp_path / "run", model, at="acuracy")
    tracker.start()
    model(torch.randn(5, 6))
    tracker.log({"loss": 1, "accuracy": 2}, step=1)
    with pytest.warns(fathom.FathomWarning, match=r"'acuracy' was never .* loss, accuracy\."):
        tracker.finish()
    assert fathom.open_run(tmp_path / "run").steps == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((nn.Linear(2, 2), "runs/x"), "run must be a folder, got Linear"),
        (("runs/x", "model"), "model must be a torch.nn.Module, got str"),
        (("runs/x", None, ["loss"]), r"at must be one name that is logged, got \['loss'\]"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: Any, message: str) -> None:
    run, model, *at = arguments
    with pytest.raises(fathom.ArgumentError, match=message):
        FathomTracker(run, model, at=at[0] if at else None)


def test_what_comes_too_late_for_any_snapshot_is_told(tmp_path: Path) -> None:
    model = network()
    tracker = FathomTracker(tmp_path / "run", model, at="accuracy")
    tracker.start()
    tracker.log({"accuracy": 1}, step=1)
    tracker.log({"f1": 2, "note": "text"}, step=1)
    with pytest.warns(fathom.FathomWarning, match=r"fathom: f1 came at the step of the last"):
        tracker.finish()
    assert fathom.open_run(tmp_path / "run").steps == [1]


def test_what_is_to_be_dropped_first_is_dropped_once(tmp_path: Path) -> None:
    model = network()

    def log(tracker: FathomTracker, steps: list[int]) -> list[int]:
        tracker.start()
        for step in steps:
            tracker.log({"loss": step}, step=step)
        tracker.finish()
        return fathom.open_run(tmp_path / "run").steps

    assert log(FathomTracker(tmp_path / "run", model), [1, 2, 3]) == [1, 2, 3]
    again = FathomTracker(tmp_path / "run", model, resume_from=3)
    assert log(again, [3, 4, 5]) == [1, 2, 3, 4, 5]
    assert log(again, [6, 7]) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "value",
    [torch.tensor(1 + 2j), torch.empty((), device="meta"), 10**400, object()],
    ids=["complex", "meta", "huge", "object"],
)
def test_no_value_that_is_logged_ends_the_training(tmp_path: Path, value: object) -> None:
    tracker = FathomTracker(tmp_path / "run", network())
    tracker.start()
    tracker.log({"odd": value, "loss": torch.ones(1, requires_grad=True) * 3}, step=1)
    tracker.finish()
    assert fathom.open_run(tmp_path / "run").snapshot(1).metrics == {"loss": 3}


def test_a_loop_that_fails_ends_cleanly(tmp_path: Path) -> None:
    model = network()
    before = hooks_of(model)
    accelerator = Accelerator(cpu=True, log_with=FathomTracker(tmp_path / "run", model))
    accelerator.init_trackers("project")

    def fail() -> None:
        try:
            model(torch.randn(5, 6))
            accelerator.log({"loss": 1.0}, step=3)
            raise Boom
        finally:
            accelerator.end_training()

    with pytest.raises(Boom):
        fail()
    assert hooks_of(model) == before
    assert fathom.open_run(tmp_path / "run").steps == [3]


def test_a_loop_goes_on_with_a_run(tmp_path: Path) -> None:
    for steps in ([1, 2], [2, 3]):
        model = network()
        tracker = FathomTracker(tmp_path / "run", model, resume=True)
        tracker.start()
        for step in steps:
            model(torch.randn(5, 6))
            tracker.log({"loss": step}, step=step)
        tracker.finish()
    assert fathom.open_run(tmp_path / "run").steps == [1, 2, 3]


def test_without_a_model_it_says_so_once_and_the_training_goes_on(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True, log_with=FathomTracker(tmp_path / "run"))
    accelerator.init_trackers("project")
    with pytest.warns(fathom.FathomWarning, match=r"Give FathomTracker the model"):
        accelerator.log({"loss": 1.0}, step=0)
    accelerator.log({"loss": 1.0}, step=1)
    accelerator.end_training()
    assert not (tmp_path / "run").exists()


_SCRIPT = """
import sys, warnings
import fathom, torch
from accelerate import Accelerator
from fathom.integrations.accelerate import FathomTracker

model = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Linear(9, 3))
tracker = FathomTracker("run", model, budget=None)
accelerator = Accelerator(cpu=True, log_with=tracker)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    accelerator.init_trackers("project")
prepared = accelerator.prepare(model)
rank = accelerator.process_index
open(f"told-{rank}", "w").write("\\n".join(str(each.message) for each in told))
prepared(torch.randn(7 + rank, 6)).sum().backward()
accelerator.log({"loss": 1.0}, step=4)
with fathom.watch(model, "all", budget=None) as monitor:
    prepared(torch.randn(7 + rank, 6)).sum().backward()
    accelerator.log({"loss": 1.0}, step=4)
    monitor.snapshot(4, loss=1.0)
accelerator.end_training()
"""


def test_of_two_processes_the_tracker_watches_the_first_and_says_so_and_watch_watches_both(
    tmp_path: Path,
) -> None:
    (tmp_path / "train.py").write_text(_SCRIPT)
    ranks(tmp_path / "train.py", modules=("fathom", "accelerate"))
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [4]
    assert run.snapshot(4).train["0"].rows == 7
    assert fathom.open_run(tmp_path / "all").snapshot(4).train["0"].rows == 15
    assert "the rows of 1 more do not count" in (tmp_path / "told-0").read_text()
    assert (tmp_path / "told-1").read_text() == ""


def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    told = run_script("accelerate.md", tmp_path)
    assert "[16, 32, 48] " in told
    run = fathom.open_run(tmp_path / "runs" / "classifier")
    assert run.steps == [16, 32, 48]
    assert run.snapshot().eval
