"""The main numbers of all steps are those of the spectra, and keep up with a growing run."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fathom
from fathom.store.database import Database
from fathom.store.follow import Follower
from fathom.store.lock import is_written
from fathom.store.summary import STATUSES

PHASES = ("train", "eval")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4), nn.Linear(4, 3))


def show(model: nn.Module, rows: int) -> None:
    for training in (True, False):
        model.train(training)
        model(torch.randn(rows, 6))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = network()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        for step, rows in enumerate((40, 100, 400)):
            show(model, rows)
            monitor.snapshot(step=10 * step, loss=1 / (step + 1))
    return tmp_path / "run"


def forget_summaries(folder: Path) -> None:
    connection = sqlite3.connect(folder / "run.sqlite")
    connection.execute("DROP TABLE summaries")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("summarised", [True, False])
def test_its_numbers_are_those_of_the_spectra(folder: Path, phase: str, summarised: bool) -> None:
    if not summarised:
        forget_summaries(folder)
    with fathom.open_run(folder) as run:
        timeline = run.timeline()
        assert timeline.steps == run.steps == [0, 10, 20]
        assert timeline.layers == run.layers == ["0", "2", "3"]
        for mine, theirs in (("saturation", "saturation"), ("dimension", "intrinsic_dimension")):
            np.testing.assert_array_equal(
                timeline.numbers(mine, phase=phase), run.statistic(theirs, phase=phase)
            )
        for row, snapshot in enumerate(run.snapshots()):
            readings = list(snapshot.phase(phase).values())
            for name in ("rows", "samples", "width", "at_least"):
                found = timeline.numbers(name, phase=phase)[row]
                assert found.tolist() == [getattr(each, name) for each in readings]
            statuses = timeline.numbers("status", phase=phase)[row]
            assert [STATUSES[int(each)] for each in statuses] == [r.status for r in readings]
            average = timeline.averages(phase=phase)[row]
            assert average == pytest.approx(snapshot.average_saturation(phase), rel=1e-12)
        np.testing.assert_array_equal(timeline.metrics["loss"], run.metrics["loss"])
        assert np.isfinite(timeline.times).all()
        assert (np.diff(timeline.times) >= 0).all()


def test_the_statuses_are_all_that_a_spectrum_can_have(folder: Path) -> None:
    with fathom.open_run(folder) as run:
        found = run.timeline().numbers("status", phase="train")
    assert {STATUSES[int(each)] for each in found.ravel()} == {"provisional", "settling", "settled"}


def test_what_is_recorded_later_is_there_after_a_refresh(tmp_path: Path) -> None:
    model = network()
    with fathom.watch(model, tmp_path / "run") as monitor:
        show(model, 40)
        monitor.snapshot(step=0).wait()
        with fathom.open_run(tmp_path / "run") as run:
            timeline = run.timeline()
            assert not timeline.refresh()
            show(model, 40)
            monitor.snapshot(step=1).wait()
            assert timeline.steps == [0]
            assert timeline.refresh()
            assert timeline.steps == [0, 1]
            assert np.isfinite(timeline.numbers("saturation", phase="eval")).all()
            assert not timeline.refresh()


def test_steps_that_are_dropped_and_recorded_anew_are_taken_anew(folder: Path) -> None:
    with fathom.open_run(folder) as run:
        timeline = run.timeline()
        before = timeline.numbers("rows", phase="train")
        model = network()
        with fathom.watch(model, folder, budget=None, resume_from=10) as monitor:
            assert timeline.refresh()
            assert timeline.steps == [0]
            show(model, 77)
            monitor.snapshot(step=10)
        assert timeline.refresh()
        assert timeline.steps == [0, 10]
        after = timeline.numbers("rows", phase="train")
        assert before[1].tolist() == [100] * 3
        assert after.tolist() == [[40] * 3, [77] * 3]


def test_a_run_without_summaries_gets_them_when_it_is_gone_on_with(folder: Path) -> None:
    forget_summaries(folder)
    model = network()
    with fathom.watch(model, folder, budget=None, resume=True) as monitor:
        show(model, 50)
        monitor.snapshot(step=30)
    database = Database(folder)
    assert list(database.summaries([0, 10, 20, 30])) == [30]
    database.close()
    with fathom.open_run(folder) as run:
        found = run.timeline().numbers("rows", phase="eval")
    assert found[:, 0].tolist() == [40, 100, 400, 50]


def test_a_damaged_summary_is_named_and_replaced_by_the_spectra(folder: Path) -> None:
    connection = sqlite3.connect(folder / "run.sqlite")
    (blob,) = connection.execute("SELECT numbers FROM summaries WHERE step = 10").fetchone()
    changed = bytes([blob[0] ^ 1]) + blob[1:]
    connection.execute("UPDATE summaries SET numbers = ? WHERE step = 10", (changed,))
    connection.commit()
    connection.close()
    with fathom.open_run(folder) as run:
        assert run.damaged == ["summary 10"]
        assert run.timeline().numbers("rows", phase="train").tolist() == [
            [40] * 3,
            [100] * 3,
            [400] * 3,
        ]


def test_of_many_steps_an_even_part_is_held_and_the_last(tmp_path: Path) -> None:
    model = network()
    with fathom.watch(model, tmp_path / "run") as monitor:
        for step in range(23):
            show(model, 10)
            monitor.snapshot(step=step)
    with fathom.open_run(tmp_path / "run") as run:
        timeline = run.timeline(most=6)
        assert timeline.steps == [0, 4, 8, 12, 16, 20, 22]
        assert timeline.recorded == 23
        assert timeline.numbers("saturation", phase="train").shape == (7, 3)


def test_a_layer_that_comes_late_is_nan_before(tmp_path: Path) -> None:
    model = network()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model[:2](torch.randn(50, 6))
        monitor.snapshot(step=0)
        model(torch.randn(50, 6))
        monitor.snapshot(step=1)
    with fathom.open_run(tmp_path / "run") as run:
        found = run.timeline().numbers("rows", phase="train")
    np.testing.assert_array_equal(found, [[50, np.nan, np.nan], [50, 50, 50]])


@pytest.mark.parametrize(
    ("name", "phase"), [("colour", "eval"), ("rows", "test"), ("layer", "eval")]
)
def test_a_number_or_phase_that_there_is_not_is_refused(
    folder: Path, name: str, phase: str
) -> None:
    with (
        fathom.open_run(folder) as run,
        pytest.raises(fathom.ArgumentError, match="must be one of"),
    ):
        run.timeline().numbers(name, phase=phase)


def test_a_follower_waits_for_a_run_follows_it_and_notices_another(tmp_path: Path) -> None:
    follower, folder, model = Follower(tmp_path / "run"), tmp_path / "run", network()
    assert not follower.look()
    assert follower.timeline is None
    with fathom.watch(model, folder) as monitor:
        follower.look()
        show(model, 10)
        monitor.snapshot(step=5).wait()
        assert follower.look()
        assert follower.timeline is not None
        assert follower.timeline.steps == [5]
        assert not follower.look()
    (folder / "run.sqlite").rename(folder / "gone.sqlite")
    assert follower.look()
    assert follower.timeline is None
    with fathom.watch(model, folder) as monitor:
        show(model, 10)
        monitor.snapshot(step=1).wait()
        assert follower.look()
        assert follower.timeline.steps == [1]
    follower.close()


def test_a_follower_may_hold_fewer_steps_the_more_layers_there_are(tmp_path: Path) -> None:
    asked: list[int] = []

    def most(layers: int) -> int:
        asked.append(layers)
        return 8 // max(layers, 1)

    follower, folder, model = Follower(tmp_path / "run", most=most), tmp_path / "run", network()
    with fathom.watch(model, folder) as monitor:
        follower.look()
        assert asked == [0], "before the first step nobody knows"
        for step in range(20):
            show(model, 10)
            monitor.snapshot(step=step).wait()
            assert follower.look()
        assert follower.timeline is not None
        layers = len(follower.timeline.facts)
        assert layers > 1
        assert follower.timeline.recorded == 20
        assert len(follower.timeline.steps) <= 8 // layers + 1
        assert follower.timeline.steps[-1] == 19
        assert not follower.look()
    follower.close()


def test_columns_that_were_dropped_are_put_together_again(folder: Path) -> None:
    with fathom.open_run(folder) as run:
        timeline = run.timeline()
        before = timeline.numbers("rows", phase="eval")
        timeline.drop_columns()
        np.testing.assert_array_equal(timeline.numbers("rows", phase="eval"), before)


def test_a_run_is_live_while_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not is_written(folder)
    with fathom.watch(network(), folder):
        assert is_written(folder)
        assert is_written(folder), "asking does not take the lock away"
    assert not is_written(folder)
    with fathom.watch(network(), folder, resume=True):
        assert is_written(folder)
