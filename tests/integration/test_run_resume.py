"""One writer a run: a path that holds one is refused, or gone on with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fathom
from fathom.store import writer
from preloaded import Piped

# Records into a run for as long as its standard input is open; says when it has begun.
TRAINER = """
import sys, threading
import torch, fathom
from fathom.store import writer

folder, journal = sys.argv[1:]
writer.journal_mode = lambda folder: journal
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)).eval()
with fathom.watch(model, folder, budget=None) as monitor:
    step = 0
    while not over.is_set():
        model(torch.randn(20, 4))
        monitor.snapshot(step=step, double=2 * step).wait()
        if step == 0:
            print("recording", flush=True)
        step += 1
        over.wait(0.005)
print(step, flush=True)
"""


def small(width: int = 5) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))


def record(monitor: fathom.Monitor, model: nn.Module, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        model.eval()
        model(torch.randn(30, 3, generator=generator))
        monitor.snapshot(step=step, loss=step / 7).wait()


def begun(folder: Path, steps: int = 4, keep: str = "spectrum") -> Path:
    model = small()
    with fathom.watch(model, folder, keep=keep, budget=None) as monitor:
        record(monitor, model, range(steps))
    return folder


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def content(folder: Path) -> dict[int, list[float]]:
    """Step to the first layer's eigenvalues."""
    with fathom.open_run(folder) as run:
        return {step: run.spectrum("0", step=step).eigenvalues.tolist() for step in run.steps}


def test_a_path_that_holds_a_run_is_refused_and_the_run_kept(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    before = content(folder)
    model = small()
    with pytest.raises(fathom.RunExistsError, match=r"resume=True") as caught:
        fathom.watch(model, folder, budget=None)
    assert isinstance(caught.value, FileExistsError)
    assert str(folder) in str(caught.value)
    assert hooks(model) == 0
    assert content(folder) == before
    with fathom.open_run(folder) as run:
        assert len(run.sessions) == 1


def test_a_folder_with_other_files_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    begun(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(content(tmp_path)) == 4


def test_resume_goes_on_after_the_last_step(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    before = content(folder)
    model = small()
    with fathom.watch(model, folder, resume=True, budget=None) as monitor:
        record(monitor, model, range(4, 7))
    after = content(folder)
    assert list(after) == list(range(7))
    assert {step: after[step] for step in before} == before
    with fathom.open_run(folder) as run:
        assert not np.isnan(run.statistic("saturation")).any()
        assert run.metrics["loss"].tolist() == [step / 7 for step in range(7)]
        assert run.damaged == []


@pytest.mark.parametrize("step", [-1, 0, 2, 3])
def test_a_step_that_is_not_after_the_last_is_refused_and_nothing_lost(
    tmp_path: Path, step: int
) -> None:
    folder = begun(tmp_path / "run")
    before = content(folder)
    model = small()
    with fathom.watch(model, folder, resume=True, budget=None) as monitor:
        model.eval()
        model(torch.randn(17, 3))
        with pytest.raises(fathom.ArgumentError, match=f"step must come after 3.*got {step}"):
            monitor.snapshot(step=step)
        assert content(folder) == before
        assert monitor.snapshot(step=4).eval["0"].rows == 17
    with fathom.open_run(folder) as run:
        assert run.spectrum("0", step=4).rows == 17


@pytest.mark.parametrize("keep", ["spectrum", "covariance"])
@pytest.mark.parametrize(
    ("from_step", "left"), [(2, [0, 1]), (0, []), (3, [0, 1, 2]), (9, [*range(4)])]
)
def test_resume_from_drops_that_step_and_all_later_ones(
    tmp_path: Path, from_step: int, left: list[int], keep: str
) -> None:
    folder = begun(tmp_path / "run", keep=keep)
    before = content(folder)
    model = small()
    with fathom.watch(model, folder, resume_from=from_step, keep=keep, budget=None) as monitor:
        assert list(content(folder)) == left
        if keep == "covariance":
            files = sorted(int(path.stem) for path in (folder / "covariances").iterdir())
            assert files == left
        record(monitor, model, range(from_step, from_step + 2))
    # The same model saw the same data, so what is recorded anew is as it was before.
    after = content(folder)
    assert list(after) == [*left, from_step, from_step + 1]
    assert {step: after[step] for step in before if step in after} == {
        step: values for step, values in before.items() if step in after
    }
    with fathom.open_run(folder) as run:
        assert run.damaged == []
        assert run.statistic("saturation").shape == (len(left) + 2, 2)
        assert not np.isnan(run.statistic("saturation")).any()
        if keep == "covariance":
            assert run.covariance("0")[0].shape == (5, 5)


def test_resume_from_a_step_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(fathom.RunNotFoundError, match="resume_from must come with a path"):
        fathom.watch(small(), tmp_path / "run", resume_from=3, budget=None)
    assert not (tmp_path / "run").exists()


def test_resume_where_nothing_is_starts_a_new_run(tmp_path: Path) -> None:
    model = small()
    with fathom.watch(model, tmp_path / "a" / "run", resume=True, budget=None) as monitor:
        record(monitor, model, range(2))
    assert list(content(tmp_path / "a" / "run")) == [0, 1]


def test_a_run_without_a_snapshot_is_resumed_at_any_step(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run", steps=0)
    model = small()
    with fathom.watch(model, folder, resume=True, budget=None) as monitor:
        record(monitor, model, range(-3, 0))
    assert list(content(folder)) == [-3, -2, -1]


@pytest.mark.parametrize(
    ("name", "value"), [("conv", "mean"), ("timesteps", "last"), ("downsample", 4)]
)
@pytest.mark.parametrize("resuming", [{"resume": True}, {"resume_from": 0}], ids=["resume", "from"])
def test_rows_of_another_kind_are_refused_by_name(
    tmp_path: Path, name: str, value: object, resuming: dict[str, object]
) -> None:
    folder = begun(tmp_path / "run")
    before = content(folder)
    model = small()
    with pytest.raises(fathom.RunError, match=f"{name} must be .* got {value!r}"):
        fathom.watch(model, folder, **resuming, **{name: value}, budget=None)  # type: ignore[arg-type]
    assert hooks(model) == 0
    assert content(folder) == before
    with fathom.watch(small(), folder, resume=True, budget=None):
        pass


def test_a_model_of_another_width_is_refused_by_name(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    before = content(folder)
    model = small(width=6)
    with pytest.raises(fathom.RunError, match=r"0 must have width 5.*got 6"):
        fathom.watch(model, folder, resume_from=0, budget=None)
    assert hooks(model) == 0
    assert content(folder) == before


def test_both_sessions_are_listed_with_their_settings(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    with fathom.watch(small(), folder, resume=True, threshold=0.9, every=2, budget=None):
        pass
    with fathom.open_run(folder) as run:
        first, second = run.sessions
        assert run.facts == first
    assert (first["settings"]["threshold"], second["settings"]["threshold"]) == (0.99, 0.9)
    assert (first["settings"]["every"], second["settings"]["every"]) == (1, 2)
    assert first["model"] == second["model"] == "torch.nn.modules.container.Sequential"
    assert first["started"] <= second["started"]


def test_a_second_monitor_in_the_same_process_is_refused_until_the_first_closes(
    tmp_path: Path,
) -> None:
    model, other = small(), small()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        record(monitor, model, range(2))
        for options in ({"resume": True}, {"resume_from": 0}):
            with pytest.raises(fathom.RunBusyError, match=str(tmp_path / "run")):
                fathom.watch(other, tmp_path / "run", **options, budget=None)
        assert hooks(other) == 0
        record(monitor, model, range(2, 4))
    assert list(content(tmp_path / "run")) == [0, 1, 2, 3]
    fathom.watch(other, tmp_path / "run", resume=True, budget=None).close()


def test_a_monitor_that_is_no_longer_held_frees_the_run(tmp_path: Path) -> None:
    monitor = fathom.watch(small(), tmp_path / "run", budget=None)
    del monitor
    fathom.watch(small(), tmp_path / "run", resume=True, budget=None).close()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_run_is_read_but_not_written_by_others_while_it_is_written(
    tmp_path: Path, journal: str
) -> None:
    folder = tmp_path / "run"
    with Piped(("-c", TRAINER, folder, journal)) as trainer:
        assert trainer.stdout.readline() == "recording\n"
        with pytest.raises(fathom.RunBusyError, match="run must be written by one training"):
            fathom.watch(small(), folder, resume=True, budget=None)
        seen = 0
        with fathom.open_run(folder) as run:
            assert len(run.steps) < 30, "it was opened before most of the snapshots"
            while seen < 30 and trainer.poll() is None:
                metrics = run.metrics["double"]
                assert metrics.tolist() == [2.0 * step for step in range(len(metrics))]
                values = run.statistic("saturation")
                assert not np.isnan(values).any()
                assert len(values) >= len(metrics) >= seen
                assert (folder / "run.sqlite-wal").exists() == (journal == "wal")
                seen = len(values)
            trainer.stdin.close()
            steps = int(trainer.stdout.readline())
            assert run.steps == list(range(steps))
            assert steps >= seen >= 30
            assert run.damaged == []
        assert trainer.wait() == 0


def test_a_place_without_wal_gets_a_rollback_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "journal_mode", lambda folder: "delete")
    model = small()
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        record(monitor, model, range(3))
        assert list(content(tmp_path / "run")) == [0, 1, 2]
        assert not list((tmp_path / "run").glob("*-wal"))
    # A run that is moved to a local disk goes on with a WAL.
    monkeypatch.undo()
    with fathom.watch(model, tmp_path / "run", resume=True, budget=None) as monitor:
        record(monitor, model, range(3, 5))
        assert (tmp_path / "run" / "run.sqlite-wal").exists()
    assert list(content(tmp_path / "run")) == [0, 1, 2, 3, 4]
