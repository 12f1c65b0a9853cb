"""All trainings of an experiment, by joblib's processes and by a real Dask cluster."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments_made import bits, killed, same, tiny
from fathom.errors import ArgumentError, ExperimentError
from fathom.experiments.figures.figures import draw
from fathom.experiments.findings.claims import findings
from fathom.experiments.layout import Layout, write_json
from fathom.experiments.models.build import architecture
from fathom.experiments.outcome import outcomes
from fathom.experiments.spec import Spec
from fathom.experiments.suite import plan, planned, run
from fathom.experiments.task import Task
from fathom.experiments.training import train

_TASKS = [tiny(width=width, epochs=20) for width in (8, 16, 32)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The same trainings, one after another in this process, with nothing killed."""
    layout = Layout(tmp_path_factory.mktemp("whole"))
    for task in _TASKS:
        train(task, layout)
    return layout


def _loky_workers() -> list[int]:
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    return [] if executor is None else list(executor._processes)


def test_a_worker_that_is_killed_costs_nothing_that_was_done(whole: Layout, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with killed(layout, _TASKS, _loky_workers) as pids:
        events = list(run(_TASKS, layout, workers=2))
    assert len(pids) == 1
    assert pids[0] != os.getpid()
    assert "restarted" in [event.kind for event in events]
    assert {event.task for event in events if event.kind == "done"} == set(_TASKS)
    for task in _TASKS:
        assert same(bits(layout, task), bits(whole, task))
    assert list(run(_TASKS, layout, workers=2)) == []


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two workers, processes of their own with a nanny each, as on two machines."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as found:
        yield found


def test_a_dask_worker_that_is_killed_costs_nothing_that_was_done(
    whole: Layout, tmp_path: Path, cluster: Any
) -> None:
    from distributed import Client

    layout = Layout(tmp_path)
    with Client(cluster) as client:
        workers = list(client.run(os.getpid).values())
    with killed(layout, _TASKS, lambda: workers) as pids:
        events = list(run(_TASKS, layout, dask=cluster.scheduler_address))
    assert pids == workers[:1]
    assert {event.task for event in events if event.kind == "done"} == set(_TASKS)
    for task in _TASKS:
        assert same(bits(layout, task), bits(whole, task))


def test_a_scheduler_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="--dask must be the address of a scheduler"):
        list(run([tiny()], Layout(tmp_path), dask="tcp://127.0.0.1:1"))


def test_a_task_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    bad, good = tiny(classes=3, epochs=1), tiny(epochs=1)
    events = {event.task: event for event in run([bad, good], layout, workers=1)}
    assert events[good].kind == "done"
    assert events[bad].kind == "failed"
    assert "ArgumentError" in events[bad].text
    assert "Traceback" in layout.failed(bad).read_text()
    assert not layout.done(bad).exists()


def _spec(tmp_path: Path, epochs: int, repetitions: int = 1) -> Spec:
    path = tmp_path / "mine.toml"
    path.write_text(
        f'title = "Mine"\nrepetitions = {repetitions}\n'
        '[[grid]]\ndata = ["seven-vs-nine"]\nmodel = ["dense"]\nwidth = [8, 16]\n'
        f"[training]\nepochs = {epochs}\n"
    )
    return Spec.read(path)


def test_a_plan_grows_and_keeps_what_is_done(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    first = plan(_spec(tmp_path, 1), layout)
    list(run(first[:1], layout, workers=1))
    more = plan(_spec(tmp_path, 1, repetitions=2), layout)
    assert len(more) == 4
    assert planned(layout)[1] == more
    narrow = _spec(tmp_path, 1).changed(width=[16])
    plan(narrow, layout)
    assert planned(layout)[1] == [first[0], *narrow.tasks()]


def test_a_plan_keeps_what_another_command_is_at(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    first, second = plan(_spec(tmp_path, 1), layout)
    write_json(layout.asked(first), first.to_body())
    plan(_spec(tmp_path, 1).changed(width=[16]), layout)
    assert planned(layout)[1] == [first, second]


def test_a_plan_of_another_form_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for body in ({"name": "mine"}, {"name": "mine", "tasks": [{"data": "digits"}]}):
        write_json(layout.plan, body)
        with pytest.raises(ExperimentError, match=r"experiment.json must hold what fathom wrote"):
            planned(layout)


def test_pictures_of_a_relative_folder_are_refused_on_other_machines(tmp_path: Path) -> None:
    task = Task(data="folder:here", model="dense", width=8)
    with pytest.raises(ArgumentError, match="path of folder:here must be absolute"):
        list(run([task], Layout(tmp_path), dask="tcp://127.0.0.1:1"))


# The fewest pictures on which each still has what its figures and findings are about.
_FEW: dict[str, dict[str, list[Any]]] = {
    "classes-by-width": {"classes": [2, 3]},
    "clutter-by-width": {"data": ["seven-vs-nine"], "clutter": [0.0, 1.0]},
    "dense-width": {},
}


@pytest.mark.parametrize("spec", Spec.all(), ids=lambda spec: spec.name)
def test_every_experiment_runs_in_a_tiny_form(tmp_path: Path, spec: Spec) -> None:
    layout = Layout(tmp_path)
    few = _FEW.get(spec.name, {"data": ["seven-vs-nine"]})
    models = sorted({model for grid in spec.grids for model in grid.model})
    narrow = 8 if architecture(models[0]).units else 0.0625
    tasks = plan(spec.changed(width=[narrow], epochs=1, repetitions=1, **few), layout)
    for task in tasks:
        train(task, layout)
    found = outcomes(layout, tasks)
    assert [each.task for each in found] == tasks
    assert all(np.isfinite(each.saturation["eval"]).all() for each in found)
    assert all(each.probes for each in found) is (spec.name == "tail")
    assert {each.verdict for each in findings(found)} <= {"not enough data"}
    assert draw(found, layout.figures, title=spec.title)


def test_a_folder_of_other_trainings_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    tasks = plan(_spec(tmp_path, 1), layout)
    list(run(tasks[:1], layout, workers=1))
    with pytest.raises(ExperimentError, match="epochs 1 instead of 2"):
        plan(_spec(tmp_path, 2), layout)
    with pytest.raises(ExperimentError, match="must hold vgg-grid, got mine"):
        plan(Spec.find("vgg-grid"), layout)


def test_a_folder_without_an_experiment_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="fathom experiment run NAME"):
        planned(Layout(tmp_path))
