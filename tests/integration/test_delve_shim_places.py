"""Where a tracker of `fathom.delve` begins: anew, where another was, or in the middle."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import fathom
from fathom.delve import SaturationTracker, reconstruct_csv_from_npy_data
from tracked import network, nothing_told, numbers, rows, train

# torch's own writer of events, with the protobuf of today.
pytestmark = pytest.mark.filterwarnings("ignore:Type google:DeprecationWarning")


def test_resuming_twice_keeps_a_row_an_epoch(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    train(folder, ["csv", "npy"], epochs=range(4))
    before = rows(folder)
    train(folder, ["csv", "npy"], epochs=range(2, 2), initial_epoch=2)
    train(folder, ["csv", "npy"], epochs=range(2, 3), initial_epoch=2)
    after = rows(folder)
    assert [row[""] for row in after] == ["0", "1", "2"]
    assert after[:2] == before[:2]
    assert numbers(folder, "loss") == [1, 1 / 2, 1 / 3]
    files = sorted(path.name for path in (folder / "loss").iterdir())
    assert files == ["loss_epoch0.npy", "loss_epoch1.npy", "loss_epoch2.npy"]
    with fathom.open_run(folder / "fathom") as run:
        assert run.steps == [0, 1, 2]


def test_beginning_anew_writes_over_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    train(folder, ["csv", "npy"], epochs=range(4))
    (folder / "notes.txt").write_text("mine")
    (folder / "loss" / "loss_epoch.npy").write_text("mine")
    train(folder, ["csv", "npy"], epochs=range(1))
    assert len(rows(folder)) == 1
    assert {path.name for path in (folder / "loss").iterdir()} == {
        "loss_epoch0.npy",
        "loss_epoch.npy",
    }
    assert (folder / "notes.txt").read_text() == "mine"
    with fathom.open_run(folder / "fathom") as run:
        assert run.steps == [0]


def test_a_run_of_fathoms_own_at_savefile_is_left_alone(tmp_path: Path) -> None:
    with fathom.watch(network(), tmp_path / "run") as monitor:
        monitor.snapshot(step=3)
    train(tmp_path / "run")
    with fathom.open_run(tmp_path / "run") as run:
        assert run.steps == [3]


def test_a_run_of_fathoms_own_inside_savefile_is_not_removed(tmp_path: Path) -> None:
    with fathom.watch(network(), tmp_path / "x" / "fathom") as monitor:
        monitor.snapshot(step=3)
    for epoch in (0, 1):
        with pytest.raises(fathom.ArgumentError, match="a run that no tracker recorded"):
            train(tmp_path / "x", initial_epoch=epoch)
    with fathom.open_run(tmp_path / "x" / "fathom") as run:
        assert run.steps == [3]


class Bomb:
    """A pickle of it makes a file where it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def test_the_pickle_of_delve_is_never_read(tmp_path: Path) -> None:
    folder, marker = tmp_path / "experiment", tmp_path / "exploded"
    folder.mkdir()
    bomb = pickle.dumps(Bomb(marker))
    (folder / "epoch_counter.pkl").write_bytes(bomb)
    with pytest.raises(fathom.ArgumentError, match=r"epoch_counter\.pkl.*never read"):
        train(folder, "npy", initial_epoch=1)
    train(folder, "npy")
    train(folder, "npy", initial_epoch=2, epochs=range(2, 3))
    assert np.load(folder / "loss" / "loss_epoch2.npy") == 1 / 3
    (folder / "loss" / "loss_epoch1.npy").write_bytes(bomb)
    with pytest.raises(fathom.ArgumentError, match=r"loss_epoch1\.npy must hold plain numbers"):
        reconstruct_csv_from_npy_data(folder)
    np.save(folder / "loss" / "loss_epoch1.npy", np.array([Bomb(marker)]), allow_pickle=True)
    with pytest.raises(fathom.ArgumentError, match="Pickles are never read"):
        reconstruct_csv_from_npy_data(folder)
    assert not marker.exists()


def test_a_table_that_delve_wrote_is_not_gone_on_with(tmp_path: Path) -> None:
    table = tmp_path / "experiment.csv"
    table.write_text(";train-saturation_0\n0;0.5\n")
    with pytest.raises(fathom.ArgumentError, match=r"savefile must hold .*experiment\.csv"):
        train(tmp_path / "experiment", initial_epoch=1)
    assert table.read_text() == ";train-saturation_0\n0;0.5\n"


def test_going_on_where_nothing_is_begins_at_that_epoch(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    with pytest.warns(fathom.FathomWarning, match=r"experiment\.csv is not there yet"):
        train(folder, ["csv", "npy"], initial_epoch=7, epochs=range(7, 9))
    assert [row[""] for row in rows(folder)] == ["7", "8"]
    assert (folder / "loss" / "loss_epoch7.npy").exists()


def test_beginning_anew_removes_what_an_earlier_tracker_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    everything = ["csv", "npy", "plot", "tb"]
    train(folder, everything, epochs=range(3), writer_args={"zip": True}, stats=["lsat", "idim"])
    mine = [
        tmp_path / "x_mine.png",
        tmp_path / "x_lsat_train_epoch_9.png",
        folder / "events.out.tfevents.mine",
        folder / "loss" / "notes.txt",
        folder / "mine" / "mine_epoch0.npy",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    train(folder, ["npy", "tb"], epochs=range(2))
    names = ["loss", *(f"_{phase}-saturation_{n}" for phase in ("train", "eval") for n in "02")]
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found >= set(mine)
    assert sorted(found - set(mine)) == sorted(
        [
            *(folder / "fathom" / name for name in ("run.sqlite", "tracker.txt", "writer.lock")),
            *folder.glob("events*.fathom-delve"),
            *(folder / name / f"{name}_epoch{epoch}.npy" for name in names for epoch in (0, 1)),
        ]
    )
    shutil.rmtree(folder / "mine")
    table = reconstruct_csv_from_npy_data(folder, stats=["lsat"])
    assert len(table) == 2
    assert not [name for name in table if "dimensionality" in name]
    (folder / "events.out.tfevents.mine").unlink()
    events = EventAccumulator(str(folder)).Reload()
    assert [each.step for each in events.Scalars("train-saturation_0")] == [0, 1]


def test_going_on_removes_the_files_of_epochs_that_are_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    train(folder, ["csv", "npy", "plot"], epochs=range(3), stats=["lsat", "idim"])
    train(folder, ["csv", "npy", "plot"], epochs=range(1, 2), initial_epoch=1)
    epochs = {path.name[-5] for path in tmp_path.glob("x_lsat_train_epoch_*.png")}
    assert epochs == {"0", "1"}
    assert len(list(tmp_path.glob("x_idim_train_epoch_*.png"))) == 1
    assert len(list((folder / "_train-intrinsic-dimensionality_0").iterdir())) == 1


def test_a_list_of_what_was_written_names_no_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    train(folder)
    precious = [tmp_path / "precious_epoch0.npy", tmp_path / "x.py", folder / "weights.pt"]
    for path in precious:
        path.write_text("mine")
    (folder / "link").symlink_to(tmp_path, target_is_directory=True)
    with (folder / "fathom" / "tracker.txt").open("a") as file:
        file.write('"/../precious"\n"/.."\n".py"\n"/weights.pt"\n"/link"\n3\n"cut off')
    train(folder)
    assert [path.read_text() for path in precious] == ["mine"] * 3


def test_a_cell_that_runs_again_closes_the_tracker_of_the_first_time(tmp_path: Path) -> None:
    folder, model = tmp_path / "x", network()
    first = SaturationTracker(folder, ["csv"], model)
    model(torch.randn(40, 6))
    first.add_saturations()
    assert not first.closed
    with pytest.warns(fathom.FathomWarning, match=r"an earlier tracker of this process at .* clos"):
        second = SaturationTracker(tmp_path / "." / "x", ["csv"], model)
    assert first.closed
    with pytest.raises(fathom.ClosedError):
        first.add_saturations()
    for _ in range(2):
        model(torch.randn(40, 6))
        second.add_saturations()
    second.close()
    assert [row[""] for row in rows(folder)] == ["0", "1"]
    with nothing_told():
        SaturationTracker(folder, ["csv"], model).close()
        SaturationTracker(tmp_path / "other", ["csv"], model).close()


HOLDS = """
import sys, time, torch
from fathom.delve import SaturationTracker
tracker = SaturationTracker(sys.argv[1], "csv", torch.nn.Linear(2, 2))
print("READY", flush=True)
sys.stdin.read()
"""


def test_a_tracker_of_another_process_is_not_closed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLDS, str(tmp_path / "x")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "READY\n"
        with pytest.raises(fathom.RunBusyError):
            train(tmp_path / "x")
        other.communicate()
    assert len(train(tmp_path / "x")) == 2


def test_a_phase_of_every_fifth_epoch_is_gone_on_with(tmp_path: Path) -> None:
    def track(epochs: range) -> None:
        model = network()
        tracker = SaturationTracker(tmp_path / "x", "csv", model, initial_epoch=epochs.start)
        for epoch in epochs:
            model.train()
            model(torch.randn(40, 6))
            if epoch % 5 == 4:
                model.eval()
                model(torch.randn(40, 6))
            tracker.add_saturations()
        tracker.close()

    track(range(5))
    with nothing_told():
        track(range(5, 9))
    before = np.isnan(numbers(tmp_path / "x", "eval-saturation_0"))
    assert before.tolist() == [True] * 4 + [False] + [True] * 4
    track(range(9, 10))
    after = np.isnan(numbers(tmp_path / "x", "eval-saturation_0"))
    assert after.tolist() == [*before, False]


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_emptied_table_is_begun_again(tmp_path: Path, text: str) -> None:
    train(tmp_path / "x", epochs=range(3))
    (tmp_path / "x.csv").write_text(text)
    with pytest.warns(fathom.FathomWarning, match=r"x\.csv is empty; it begins at epoch 3"):
        after = train(tmp_path / "x", epochs=range(3, 5), initial_epoch=3)
    assert [row[""] for row in after] == ["3", "4"]


def test_each_module_of_a_list_has_a_run_that_is_called_as_it_is(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 3)))
    for epochs in (range(2), range(2, 3)):
        tracker = SaturationTracker(
            tmp_path / "x", "csv", [*model], initial_epoch=epochs.start, stats=["trc"]
        )
        for epoch in epochs:
            model(torch.randn(40, 6))
            tracker.add_scalar("loss", epoch)
            tracker.add_saturations()
        tracker.close()
    found = {path.parent.name for path in (tmp_path / "x").rglob("run.sqlite")}
    assert found == {"Module-0-Linear", "Module-2-Sequential"}
    for name, column in (("Module-0-Linear", "Module-0-Linear"), ("Module-2-Sequential", "0")):
        with fathom.open_run(tmp_path / "x" / "fathom" / name) as run:
            assert run.steps == [0, 1, 2]
            assert run.metrics["loss"].tolist() == [0, 1, 2]
            trace = run.statistic("total_variance", phase="train")[:, 0]
        expected = numbers(tmp_path / "x", f"train-covariance-trace_{column}")
        np.testing.assert_allclose(trace, expected, rtol=1e-6)
