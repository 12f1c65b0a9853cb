"""Hugging Face's Trainer: one training after the other, and from its checkpoints."""

import gc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fathom
from fathom.integrations.transformers import FathomCallback
from trainer_training import NAME, QUIET, Boom, Stop, gpt2, hooks_of, trainer

pytestmark = QUIET


def told(made: Any) -> list[tuple[int, float, set[str]]]:
    """What the trainer's history has of fathom: steps, epochs and names."""
    entries = [{**each} for each in made.state.log_history]
    return [
        (each.pop("step"), each.pop("epoch"), set(each))
        for each in entries
        if any(name.startswith("fathom/") for name in each)
    ]


@pytest.mark.parametrize("at", [2, 4, 6, 8])
def test_a_training_resumed_from_a_checkpoint_records_what_an_uninterrupted_one_does(
    tmp_path: Path, at: int
) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    whole = FathomCallback(tmp_path / "whole")
    uninterrupted = trainer(tmp_path / "one", gpt2(), [whole], **options)
    uninterrupted.train()
    first = [FathomCallback(tmp_path / "run"), Stop(9)]
    with pytest.raises(Boom):
        trainer(tmp_path, gpt2(), first, **options).train()
    del first
    gc.collect()
    again = trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run")], **options)
    again.train(resume_from_checkpoint=str(tmp_path / "out" / f"checkpoint-{at}"))
    assert told(again) == told(uninterrupted) != []
    run, expected = fathom.open_run(tmp_path / "run"), fathom.open_run(tmp_path / "whole")
    assert run.steps == expected.steps == [4, 8, 12]
    for step in run.steps:
        for phase in ("train", "eval"):
            one, other = run.snapshot(step).phase(phase), expected.snapshot(step).phase(phase)
            assert list(one) == list(other) != []
            for name, reading in one.items():
                assert reading.rows == other[name].rows
                np.testing.assert_allclose(
                    reading.eigenvalues, other[name].eigenvalues, rtol=1e-5, atol=1e-9
                )


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_checkpoint_without_the_state_begins_a_window_there(tmp_path: Path, damage: str) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run")], **options).train()
    folder = tmp_path / "out" / "checkpoint-6"
    state = folder / "fathom-0.pt"
    if damage == "gone":
        state.unlink()
    else:
        state.write_bytes(state.read_bytes()[:100])
    again = trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run", budget=None)], **options)
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", category=fathom.FathomWarning)
        again.train(resume_from_checkpoint=str(folder))
    assert [str(each.message).partition(";")[0] for each in told] == [
        "fathom: fathom-0.pt of the checkpoint cannot be read, so this window begins at the "
        "checkpoint"
    ][damage == "gone" :]
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [4, 8, 12]
    assert run.snapshot(8).train[NAME].samples == 8


def test_while_an_exception_is_at_hand_training_again_ends_the_first(tmp_path: Path) -> None:
    model = gpt2()
    before = hooks_of(model)
    stop = Stop(6)
    made = trainer(tmp_path, model, [FathomCallback(tmp_path / "run"), stop])
    with pytest.raises(Boom) as caught:
        made.train()
    stop.at = -1
    with pytest.warns(fathom.FathomWarning, match="begins at step 0, .* is at 4 .*on at 5"):
        made.train()
    run = fathom.open_run(tmp_path / "run")
    assert (run.steps, hooks_of(model)) == ([4, 5, 8, 12], before)
    del caught


def test_a_run_that_is_there_is_refused_before_training(tmp_path: Path) -> None:
    trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run")], num_train_epochs=1).train()
    with pytest.raises(fathom.RunExistsError, match="run"):
        trainer(tmp_path, gpt2(), [FathomCallback(tmp_path / "run")]).train()
    assert fathom.open_run(tmp_path / "run").steps == [4]


def test_a_second_training_records_the_rest_of_it_too(tmp_path: Path) -> None:
    callback = FathomCallback(tmp_path / "run", budget=None)
    options: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 5, "num_train_epochs": 2}
    made = trainer(tmp_path, gpt2(), [callback], **options)
    made.train()
    with pytest.warns(fathom.FathomWarning, match="begins at step 0, .* is at 8 .*on at 9"):
        made.train()
    run = fathom.open_run(tmp_path / "run")
    assert run.steps == [5, 8, 9, 10]
    samples = [run.snapshot(step).train[NAME].samples for step in run.steps]
    assert samples[:2] == samples[2:] == [20, 12]


def test_a_dashboard_gets_what_a_resumed_training_had_recorded(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def begun(*others: Any) -> Any:
        return trainer(
            tmp_path,
            gpt2(),
            [FathomCallback(tmp_path / "run"), *others],
            save_strategy="epoch",
            report_to=["tensorboard"],
        )

    folder = tmp_path / "tb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORBOARD_LOGGING_DIR", str(folder / "first"))
        with pytest.raises(Boom):
            begun(Stop(9)).train()
        gc.collect()
        patch.setenv("TENSORBOARD_LOGGING_DIR", str(folder / "second"))
        begun().train(resume_from_checkpoint=True)
    name = f"train/fathom/eval/saturation/{NAME}"
    events = EventAccumulator(str(folder / "second")).Reload().Scalars(name)
    assert [event.step for event in events] == [8, 12]
    expected = fathom.open_run(tmp_path / "run").statistic("saturation", phase="eval")
    column = fathom.open_run(tmp_path / "run").layers.index(NAME)
    np.testing.assert_allclose([e.value for e in events], expected[1:, column], rtol=1e-6)
