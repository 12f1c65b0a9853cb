"""Ranks that do not fit together: all of them are told how, and the rest stays as it was."""

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn

import fathom
from processes import Processes

pytestmark = pytest.mark.regime("Processes")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 9))


def error_of(**arguments: Any) -> str:
    """Watch, and tell the error; then show that the ranks can still agree and talk."""
    model, run = arguments.pop("model", None) or network(), arguments.pop("run", None)
    try:
        fathom.watch(model, run, **arguments, budget=None).close()
        told = "no error"
    except fathom.FathomError as error:
        told = f"{type(error).__name__}: {error}"
    assert not any(module._forward_hooks for module in model.modules())
    total = torch.ones(())
    distributed.all_reduce(total)
    assert total == distributed.get_world_size()
    same = network()
    with fathom.watch(same, budget=None) as monitor:
        same(torch.randn(20, 6))
        rows = monitor.snapshot(step=0).train["0"].rows
    assert rows == 20 * distributed.get_world_size()
    return told


def watch_other_layers() -> str:
    return error_of(layers=None if distributed.get_rank() == 0 else ["0"])


def watch_another_model() -> str:
    odd = nn.Sequential(nn.Linear(6, 16), nn.Conv1d(1, 2, 1), nn.Linear(16, 9))
    return error_of(model=odd if distributed.get_rank() == 1 else network(), layers=["*"])


def watch_in_another_order() -> str:
    first = distributed.get_rank() == 0
    model = nn.Module()
    for name in ("a", "b") if first else ("b", "a"):
        model.add_module(name, nn.Linear(6, 6))
    try:
        fathom.watch(model, budget=None)
    except fathom.RanksError as error:
        return str(error)
    return "no error"


def watch_at_another_threshold() -> str:
    return error_of(threshold=0.99 if distributed.get_rank() == 0 else 0.9)


def watch_other_outputs() -> str:
    picked = {"0": lambda output: output} if distributed.get_rank() else {}
    return error_of(outputs=picked)


def watch_with_a_wrong_argument_on_one() -> str:
    return error_of(layers=None if distributed.get_rank() == 0 else ["nowhere"])


def watch_with_a_run_on_the_second(folder: Path) -> str:
    return error_of(run=folder if distributed.get_rank() == 1 else None)


def watch_with_a_run_on_the_first(folder: Path) -> str:
    return error_of(run=folder if distributed.get_rank() == 0 else None)


def test_ranks_that_watch_other_layers_are_told_which(processes: Processes) -> None:
    first, second = processes.run(watch_other_layers, ranks=2)
    assert first == second
    assert first.startswith("RanksError: watch: layers must be the same on every rank")
    assert "rank 1 without 2 (linear), that rank 0 has" in first
    *_, last = processes.run(watch_another_model, ranks=2)
    assert "rank 1 with 1 (convolution), that rank 0 has not" in last
    assert "another order" in processes.run(watch_in_another_order, ranks=2)[0]


def test_ranks_that_watch_in_other_ways_are_told_how(processes: Processes) -> None:
    for told in processes.run(watch_at_another_threshold, ranks=4):
        assert (
            "threshold must be the same on every rank, got 0.99 on rank 0 and 0.9 on rank 1" in told
        )
    for told in processes.run(watch_other_outputs, ranks=2):
        assert "outputs must be the same on every rank, got [] on rank 0 and ['0']" in told


def test_an_error_on_one_rank_is_an_error_on_all(processes: Processes) -> None:
    first, second = processes.run(watch_with_a_wrong_argument_on_one, ranks=2)
    assert first.startswith("RanksError: watch: it must succeed on every rank, got on rank 1")
    assert "'nowhere'" in first
    assert second.startswith("LayerSelectionError: watch: layers must match a module")


def test_the_first_rank_alone_needs_the_path(processes: Processes, tmp_path: Path) -> None:
    assert processes.run(watch_with_a_run_on_the_first, tmp_path / "a", ranks=2) == ["no error"] * 2
    for told in processes.run(watch_with_a_run_on_the_second, tmp_path / "b", ranks=2):
        assert told.startswith("RanksError: watch: run must be given on rank 0")


def test_a_run_that_cannot_be_made_is_an_error_on_every_rank(
    processes: Processes, tmp_path: Path
) -> None:
    assert processes.run(watch_with_a_run_on_the_first, tmp_path / "a", ranks=2) == ["no error"] * 2
    first, second = processes.run(watch_with_a_run_on_the_first, tmp_path / "a", ranks=2)
    assert first.startswith("RunExistsError: watch: run must be a path that holds no run")
    assert second.startswith("RanksError")
    assert "RunExistsError" in second


def take_other_steps() -> tuple[str, int]:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(torch.randn(20, 6))
        try:
            monitor.snapshot(step=distributed.get_rank() + 3)
            told = "no error"
        except fathom.ArgumentError as error:
            told = str(error)
        return told, monitor.snapshot(step=9).train["0"].rows


def test_steps_that_differ_are_refused_and_the_window_stays(processes: Processes) -> None:
    for told, rows in processes.run(take_other_steps, ranks=2):
        assert "step must be the same on every rank, got 3, 4 in order of rank" in told
        assert rows == 40


def give_a_wrong_metric_on_one() -> tuple[str, int]:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(torch.randn(20, 6))
        try:
            monitor.snapshot(step=3, loss="low" if distributed.get_rank() else 1)  # type: ignore[arg-type]
            told = "no error"
        except fathom.ArgumentError as error:
            told = str(error)
        return told, monitor.snapshot(step=3).train["0"].rows


def test_an_argument_that_is_wrong_on_one_rank_is_refused_on_all(processes: Processes) -> None:
    (first, rows), (second, more) = processes.run(give_a_wrong_metric_on_one, ranks=2)
    assert "arguments must be right on every rank, got on rank 1: snapshot: loss must be" in first
    assert second.startswith("snapshot: loss must be a number")
    assert rows == more == 40


class Odd(nn.Module):
    """Its middle layer is used on rank 0 only, and gives rank 1 outputs of another width."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare, self.never = nn.Linear(6, 4), nn.Linear(6, 3), nn.Linear(2, 2)
        self.bend = nn.Identity()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        rank = distributed.get_rank()
        if rank == 0:
            self.spare(rows)
        self.bend(rows[:, : 5 - rank])
        return self.used(rows)  # type: ignore[no-any-return]


def watch_odd_ranks(broken: int) -> dict[str, Any]:
    model = Odd()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        pick = {"used": _refusing} if distributed.get_rank() == broken else {"used": _whole}
        with fathom.watch(model, layers=["*", "bend"], outputs=pick, budget=None) as monitor:
            model(torch.randn(20, 6))
            snapshot = monitor.snapshot(step=0)
            model(torch.randn(20, 6))
            later = monitor.snapshot(step=1)
    return {
        "rows": {name: reading.rows for name, reading in snapshot.train.items()},
        "later": {name: reading.rows for name, reading in later.train.items()},
        "unobserved": snapshot.unobserved,
        "disabled": dict(snapshot.disabled),
        "heard": [str(each.message) for each in heard],
    }


def _whole(output: torch.Tensor) -> torch.Tensor:
    return output


def _refusing(output: torch.Tensor) -> torch.Tensor:
    raise ValueError("no such output here")


def test_a_layer_is_unobserved_where_no_rank_called_it_and_off_where_one_cannot_read_it(
    processes: Processes,
) -> None:
    first, second = processes.run(watch_odd_ranks, 1, ranks=2)
    for name in ("rows", "later", "unobserved", "disabled"):
        assert first[name] == second[name]
    assert first["rows"] == first["later"] == {"spare": 20}
    assert first["unobserved"] == ("never",)
    assert first["disabled"]["used"] == "ValueError: no such output here"
    assert "the width must be the same on every rank, got [4, 5]" in first["disabled"]["bend"]
    assert sum("layer used" in message for message in first["heard"] + second["heard"]) == 1
    assert sum("layer bend" in message for message in first["heard"] + second["heard"]) == 1


def watch_apart(folder: Path) -> tuple[int, str]:
    rank, model = distributed.get_rank(), network()
    if rank == 0:
        with fathom.watch(model, folder, ranks="own", budget=None) as monitor:
            model(torch.randn(20, 6))
            return monitor.snapshot(step=0).train["0"].rows, str(monitor)
    return 0, ""


def test_a_rank_can_watch_its_own_rows_alone(processes: Processes, tmp_path: Path) -> None:
    (rows, described), _ = processes.run(watch_apart, tmp_path / "run", ranks=2)
    assert rows == 20
    assert "ranks='own'" in described


def test_many_processes_without_a_process_group_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(
        fathom.ArgumentError, match=r"init_process_group must come first.*WORLD_SIZE=4"
    ):
        fathom.watch(network(), budget=None)
    fathom.watch(network(), ranks="own", budget=None).close()


def watch_with_a_typo_on_the_first_alone() -> float:
    started = time.monotonic()
    if distributed.get_rank() == 0:
        with pytest.raises(fathom.LayerSelectionError, match="typo"):
            fathom.watch(network(), layers=["typo"], budget=None)
    return time.monotonic() - started


def test_a_wrong_argument_is_refused_at_once_without_waiting_for_others(
    processes: Processes,
) -> None:
    assert processes.run(watch_with_a_typo_on_the_first_alone, ranks=2)[0] < 5


def watch_no_model() -> str:
    try:
        fathom.watch(network() if distributed.get_rank() else "model", budget=None)  # type: ignore[arg-type]
    except fathom.FathomError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def test_a_model_that_is_none_on_one_rank_is_an_error_on_all(processes: Processes) -> None:
    first, second = processes.run(watch_no_model, ranks=2)
    assert first.startswith("ArgumentError: watch: model must be")
    assert second.startswith("RanksError: watch: it must succeed on every rank, got on rank 0")


def keep_covariances(folder: Path) -> str:
    run = folder if distributed.get_rank() == 0 else None
    return error_of(run=run, keep="covariance", threshold=np.float32(0.5))


def test_a_path_on_the_first_rank_is_enough_to_keep_covariances(
    processes: Processes, tmp_path: Path
) -> None:
    assert processes.run(keep_covariances, tmp_path / "run", ranks=2) == ["no error"] * 2
