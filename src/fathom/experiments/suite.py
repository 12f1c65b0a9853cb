"""All trainings of an experiment, through joblib: on this machine, or on many by Dask."""

import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from fathom.errors import ArgumentError, ExperimentError
from fathom.experiments.device import device_of
from fathom.experiments.layout import Layout, read_json, write_json
from fathom.experiments.spec import Spec
from fathom.experiments.task import Task
from fathom.experiments.training import BusyError, refuse_another, train
from fathom.extras import require
from fathom.views.files import replaced

_EXTRA = "experiments"
_DEATHS = 3
"""How often workers may die with nothing done in between, before the rest is given up."""

# A thread of a Dask worker shares torch's generators and flags with the others of its process.
_one_at_a_time = threading.Lock()


class Event(NamedTuple):
    """Something that happened to a task.

    Attributes:
        kind: `done`; `failed`, by an error that is kept; `busy`, as another process trains it; or
            `restarted`, as a worker died and what it was at is tried again.
        task: Which; None of a worker that died.
        text: What to say of it, in a line.
    """

    kind: str
    task: Task | None
    text: str


def plan(spec: Spec, layout: Layout) -> list[Task]:
    """Write down what an experiment is of; tasks that were begun already stay in it.

    Args:
        spec: The experiment.
        layout: Where its files lie.

    Returns:
        The tasks of `spec`.

    Raises:
        ExperimentError: If the folder holds another experiment, or tasks that are trained in
            another way.
    """
    tasks = spec.tasks()
    layout.root.mkdir(parents=True, exist_ok=True)
    with FileLock(layout.root / "lock"):
        earlier: list[Task] = []
        if layout.plan.exists():
            body, earlier = planned(layout)
            if body.get("name") != spec.name:
                raise ExperimentError(
                    f"experiment: {layout.root} must hold {spec.name}, got {body.get('name')}. "
                    "Pass another --out."
                )
        for task in tasks:
            refuse_another(task, layout)
        names = {task.name for task in tasks}
        kept = [task for task in earlier if task.name not in names and layout.asked(task).exists()]
        write_json(
            layout.plan,
            {
                "name": spec.name,
                "title": spec.title,
                "papers": spec.papers,
                "tasks": [task.to_body() for task in [*kept, *tasks]],
            },
        )
    return tasks


def planned(layout: Layout) -> tuple[dict[str, Any], list[Task]]:
    """Read what `plan` wrote.

    Args:
        layout: Where the files of the experiment lie.

    Returns:
        Its name, title and papers; and its tasks.

    Raises:
        ExperimentError: If there is none.
    """
    body = read_json(layout.plan)
    if body is None:
        raise ExperimentError(
            f"experiment: {layout.root} must hold an experiment, got none. Run it first: fathom "
            "experiment run NAME; or pass the --out that it was run with."
        )
    try:
        return body, [Task.from_body(each) for each in body.pop("tasks")]
    except (KeyError, TypeError) as error:
        raise ExperimentError(
            f"experiment: {layout.plan} must hold what fathom wrote, got another form: {error!r}. "
            "Remove it, and run again."
        ) from error


def run(
    tasks: Sequence[Task],
    layout: Layout,
    *,
    workers: int | None = None,
    dask: str | None = None,
    device: str = "auto",
    data_folder: Path | None = None,
) -> Iterator[Event]:
    """Train what is not done yet.

    A task whose worker is killed is tried again, and goes on from its last epoch. One that raises
    is left, and the others go on.

    Args:
        tasks: Which.
        layout: Where their files lie; with Dask in a folder that all machines see.
        workers: How many are trained at a time on this machine; None for one a core, on a GPU one.
        dask: The address of a Dask scheduler, whose workers train instead.
        device: As of `train`.
        data_folder: As of `train`.

    Yields:
        What happens, as it happens.

    Raises:
        ExperimentError: If workers die again and again with nothing done in between, or the
            scheduler cannot be reached, or has no workers.
        ArgumentError: If there is no such device, or with `dask` a folder of pictures is relative.
        MissingExtraError: If joblib, or with `dask` the extra dask, is not installed.
    """
    joblib = require("joblib", extra=_EXTRA)
    layout = Layout(layout.root.resolve())
    if dask is not None:
        _refuse_relative(tasks)
    left = [task for task in tasks if not layout.done(task).exists()]
    deaths = 0
    with _backend(dask, workers or workers_for(device)), _quiet():
        while left:
            calls = (joblib.delayed(_perform)(task, layout, device, data_folder) for task in left)
            settled = set()
            try:
                # All at once: a worker of Dask that comes later has something to do too.
                for event in joblib.Parallel(
                    return_as="generator_unordered", batch_size=1, pre_dispatch="all"
                )(calls):
                    settled.add(event.task)
                    yield event
            except _died() as error:
                before = len(left)
                left = [
                    task for task in left if task not in settled and not layout.done(task).exists()
                ]
                deaths = 1 if len(left) < before else deaths + 1
                if deaths > _DEATHS:
                    raise ExperimentError(
                        f"experiment: workers must live, got {deaths} that died with nothing done "
                        f"in between: {_first_line(error)} Memory may be short: pass fewer "
                        "--workers. The same command goes on."
                    ) from error
                yield Event("restarted", None, f"a worker died: {_first_line(error)}")
            else:
                return


def workers_for(device: str) -> int:
    """Return how many trainings are done at a time where nobody says: one a core, on a GPU one.

    Args:
        device: As of `train`.

    Raises:
        ArgumentError: If there is no such device.
        MissingExtraError: If joblib is not installed.
    """
    if device_of(device).type == "cuda":
        return 1
    return int(require("joblib", extra=_EXTRA).cpu_count())


def _perform(task: Task, layout: Layout, device: str, data_folder: Path | None) -> Event:
    """Train one task in a worker; an error is kept in its folder, as the others shall go on."""
    try:
        with _one_at_a_time:
            train(task, layout, device=device, data_folder=data_folder)
    except BusyError as error:
        return Event("busy", task, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told and kept
        # A disk that is full takes no traceback either; the event says its last line.
        with suppress(OSError), replaced(layout.failed(task)) as unfinished:
            unfinished.write_text(traceback.format_exc())
        return Event("failed", task, f"{type(error).__name__}: {_first_line(error)}")
    return Event("done", task, task.name)


def _refuse_relative(tasks: Sequence[Task]) -> None:
    for name in {task.data for task in tasks if task.data.startswith("folder:")}:
        if not Path(name.removeprefix("folder:")).is_absolute():
            raise ArgumentError(
                f"experiment: with --dask the path of {name} must be absolute, as workers stand in "
                "folders of their own. Pass the whole path."
            )


@contextmanager
def _backend(dask: str | None, workers: int) -> Iterator[None]:
    joblib = require("joblib", extra=_EXTRA)
    if dask is None:
        with joblib.parallel_config(backend="loky", n_jobs=workers):
            yield
        return
    distributed = require("distributed", extra="dask")
    try:
        client = distributed.Client(dask, timeout="10s")
    except (OSError, ValueError) as error:
        raise ExperimentError(
            f"experiment: --dask must be the address of a scheduler, got {dask!r}: "
            f"{_first_line(error).rstrip('.')}. Start one: dask scheduler"
        ) from error
    with client:
        if not client.ncores():
            raise ExperimentError(
                f"experiment: --dask must be a scheduler with workers, got {dask!r} with none. "
                f"Start one, on every machine: dask worker {dask} --nthreads 1"
            )
        with joblib.parallel_config(backend="dask", client=client):
            yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out that a worker which holds much memory is replaced: no task is lost by that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
        yield


def _died() -> tuple[type[BaseException], ...]:
    """Return what is raised where a worker died; Dask's own only where it is imported."""
    scheduler = sys.modules.get("distributed.scheduler")
    return (BrokenExecutor,) if scheduler is None else (BrokenExecutor, scheduler.KilledWorker)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
