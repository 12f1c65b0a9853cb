"""One training: seeded, watched in both phases, and gone on with where it was killed."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.nn import functional

from fathom.analysis.probe import probe
from fathom.attach import watch
from fathom.errors import ExperimentError, RunNotFoundError
from fathom.experiments import checkpoint as checkpoints
from fathom.experiments.checkpoint import Checkpoint
from fathom.experiments.data.batches import augmented, normalised
from fathom.experiments.data.dataset import Dataset, Images
from fathom.experiments.data.load import load
from fathom.experiments.device import device_of, named, reproducible
from fathom.experiments.layout import Layout, read_json, write_json
from fathom.experiments.models.build import architecture, build
from fathom.experiments.task import Task
from fathom.views.run import open_run

_EVAL_BATCH = 256
# Whoever asks whether a task is trained holds its lock for that moment.
_PATIENCE, _PAUSE = 0.5, 0.01


class BusyError(ExperimentError):
    """Another process trains this task now."""


@dataclass(frozen=True, slots=True)
class _Score:
    """Sums over pictures."""

    loss: float
    right: int
    count: int

    def metrics(self, part: str, *, reconstructs: bool) -> dict[str, float]:
        found = {f"{part}_loss": self.loss / self.count}
        return found if reconstructs else {**found, f"{part}_accuracy": self.right / self.count}


def train(
    task: Task, layout: Layout, *, device: str = "auto", data_folder: Path | None = None
) -> None:
    """Train a network to the end, from where it was, and mark it as done; nothing if it is.

    The numbers depend on the task alone, on the same machine and with as many threads: each epoch
    draws from a generator of its own, so that a training that was killed and begun again ends with
    the bits of one that was not. On a GPU torch is asked for deterministic algorithms.

    Args:
        task: Which.
        layout: Where its files lie.
        device: `auto` for a GPU where there is one, `cpu` or `cuda`.
        data_folder: Where a data set lies that is not to be taken from the hub.

    Raises:
        BusyError: If another process trains it now.
        ExperimentError: If its folder holds another task.
        ArgumentError: If the device, the data set or the model cannot be had.
        DataNotFoundError: If the data set cannot be reached.
    """
    where = device_of(device)
    layout.folder(task).mkdir(parents=True, exist_ok=True)
    with _alone(task, layout):
        refuse_another(task, layout)
        _sweep(task, layout)
        if layout.done(task).exists():
            return
        write_json(layout.asked(task), task.to_body())
        layout.failed(task).unlink(missing_ok=True)
        with reproducible(where):
            _train(task, layout, where, data_folder)


def refuse_another(task: Task, layout: Layout) -> None:
    """Refuse a task whose folder holds one of the same name that is trained in another way.

    Args:
        task: Which.
        layout: Where its files lie.

    Raises:
        ExperimentError: If it does; the message says what differs.
    """
    asked = read_json(layout.asked(task))
    if asked is None or asked == task.to_body():
        return
    ours = {**task.to_body(), **task.to_body()["training"], **task.to_body()["record"]}
    theirs = {**asked, **asked.get("training", {}), **asked.get("record", {})}
    differ = [
        f"{key} {theirs.get(key)!r} instead of {value!r}"
        for key, value in ours.items()
        if not isinstance(value, dict) and theirs.get(key) != value
    ]
    raise ExperimentError(
        f"experiment: {layout.root} must hold trainings of one kind, got {task.name} with "
        f"{', '.join(differ) or 'other keys'}. Pass another --out, or the same values."
    )


@contextmanager
def _alone(task: Task, layout: Layout) -> Iterator[None]:
    lock = FileLock(layout.lock(task))
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=_PAUSE)
    except Timeout as error:
        raise BusyError(
            f"experiment: {task.name} must be trained by one process at a time, got another that "
            "trains it now."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _train(task: Task, layout: Layout, device: torch.device, data_folder: Path | None) -> None:
    data = _dataset(task.data, task.classes, task.clutter, task.repetition, data_folder)
    torch.manual_seed(task.seed())
    model = build(task.model, width=task.width, classes=len(data.classes), shape=data.shape)
    model.to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=task.training.learning_rate)
    if not _has_run(task, layout):
        # The epochs of a checkpoint are nothing without what was recorded of them.
        layout.checkpoint(task).unlink(missing_ok=True)
    state = checkpoints.load(layout.checkpoint(task), model, optimiser)
    train_part, test_part = _on(device, data.train), _on(device, data.test)
    reconstructs = architecture(task.model).reconstructs
    if not state.epoch:
        # Of a training that was killed in its first epoch there may be half a run.
        shutil.rmtree(layout.run(task), ignore_errors=True)
    with watch(
        model,
        layout.run(task),
        conv=task.record.conv,
        budget=None,
        resume_from=state.epoch + 1 if state.epoch else None,
    ) as monitor:
        while state.epoch < task.training.epochs:
            began = time.monotonic()
            fitted = _epoch(task, model, optimiser, train_part, state.epoch + 1, flips=data.flips)
            judged = _judge(model, test_part, reconstructs=reconstructs)
            # The run has the epoch before the checkpoint says so: killed in between, it is dropped
            # and measured again.
            monitor.snapshot(
                state.epoch + 1,
                **fitted.metrics("train", reconstructs=reconstructs),
                **judged.metrics("test", reconstructs=reconstructs),
            ).wait()
            state = Checkpoint(state.epoch + 1, state.seconds + time.monotonic() - began)
            checkpoints.save(layout.checkpoint(task), state, model, optimiser)
            _tell(task, layout, state)
    began = time.monotonic()
    if task.record.probes and not reconstructs:
        _probe(model, layout.run(task), train_part, test_part)
    checkpoints.save_weights(layout.weights(task), model)
    with open_run(layout.run(task)) as run:
        last = {name: float(values[-1]) for name, values in run.metrics.items()}
    write_json(
        layout.done(task),
        {
            "seconds": state.seconds + time.monotonic() - began,
            "epochs": state.epoch,
            "device": named(device),
            "threads": torch.get_num_threads(),
            **last,
        },
    )
    _sweep(task, layout)


def _sweep(task: Task, layout: Layout) -> None:
    """Remove what a killed process left half written, and the checkpoint of what is done."""
    for path in layout.folder(task).glob(".*.*"):
        path.unlink(missing_ok=True)
    if layout.done(task).exists():
        layout.checkpoint(task).unlink(missing_ok=True)


def _has_run(task: Task, layout: Layout) -> bool:
    try:
        open_run(layout.run(task)).close()
    except RunNotFoundError:
        return False
    return True


def _epoch(
    task: Task,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Images,
    epoch: int,
    *,
    flips: bool,
) -> _Score:
    # What an epoch draws depends on its number alone, and not on what was drawn before.
    generator = torch.Generator().manual_seed(task.seed(epoch))
    torch.manual_seed(task.seed(epoch))
    model.train()
    reconstructs = architecture(task.model).reconstructs
    scores = []
    for chosen in torch.randperm(len(images), generator=generator).split(task.training.batch):
        # Batch norm takes the variance of a batch, which one picture has not.
        if len(chosen) == 1 < len(images):
            continue
        where = chosen.to(images.labels.device)
        pixels = images.pixels[where]
        if task.training.augment:
            pixels = augmented(pixels, generator, flips=flips)
        labels = images.labels[where]
        loss, right = _loss(model, normalised(pixels), labels, reconstructs=reconstructs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        scores.append(
            torch.stack([loss.detach() * len(chosen), right, right.new_tensor(len(chosen))])
        )
    return _sum(scores)


@torch.inference_mode()
def _judge(model: nn.Module, images: Images, *, reconstructs: bool) -> _Score:
    model.eval()
    scores = []
    for pixels, labels in _batches(images):
        loss, right = _loss(model, pixels, labels, reconstructs=reconstructs)
        scores.append(torch.stack([loss * len(labels), right, right.new_tensor(len(labels))]))
    return _sum(scores)


def _loss(
    model: nn.Module, images: Tensor, labels: Tensor, *, reconstructs: bool
) -> tuple[Tensor, Tensor]:
    """Return the mean loss, and how many are told right, of autoencoders 0."""
    output = model(images)
    if reconstructs:
        return functional.mse_loss(output, images), output.new_zeros(())
    right = (output.detach().argmax(1) == labels).sum()
    return functional.cross_entropy(output, labels), right.to(output.dtype)


def _sum(scores: list[Tensor]) -> _Score:
    loss, right, count = torch.stack(scores).double().sum(0).tolist()
    return _Score(loss, round(right), round(count))


def _batches(images: Images) -> Iterator[tuple[Tensor, Tensor]]:
    for chosen in torch.arange(len(images)).split(_EVAL_BATCH):
        some = slice(int(chosen[0]), int(chosen[-1]) + 1)
        yield normalised(images.pixels[some]), images.labels[some]


def _probe(model: nn.Module, run: Path, train_part: Images, test_part: Images) -> None:
    probe(model, _batches(train_part), _batches(test_part), run=run, workers=1)


def _tell(task: Task, layout: Layout, state: Checkpoint) -> None:
    write_json(
        layout.progress(task),
        {"epoch": state.epoch, "epochs": task.training.epochs, "seconds": state.seconds},
    )


@lru_cache(maxsize=2)
def _dataset(
    name: str, classes: int | None, clutter: float, repetition: int, folder: Path | None
) -> Dataset:
    """Hold the last two: the next task of a process is often of the same data."""
    return load(name, classes=classes, clutter=clutter, repetition=repetition, folder=folder)


def _on(device: torch.device, images: Images) -> Images:
    return Images(images.pixels.to(device), images.labels.to(device))
