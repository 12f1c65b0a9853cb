"""`fathom.watch`: from arguments to a monitor."""

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import torch
from torch import distributed, nn

from fathom.capture.capture import Capture
from fathom.capture.compiled import forget_compiled_code
from fathom.capture.layers import Layer, Pick
from fathom.capture.modules import unwrapped
from fathom.capture.rows import main_output
from fathom.capture.selection import LayerFilter, select_layers
from fathom.capture.sharded import class_of
from fathom.distributed.agreement import refuse_mismatch
from fathom.distributed.meeting import Meeting
from fathom.distributed.merging import Alone, Ranks
from fathom.distributed.ranks import AllRanks
from fathom.errors import ArgumentError, choose, whole_number
from fathom.monitor import Monitor
from fathom.recorder import Recorder
from fathom.settings import RANKS, Settings, names_of
from fathom.sink import Sink
from fathom.store.writer import Writer


def watch(
    model: nn.Module,
    run: str | os.PathLike[str] | None = None,
    *,
    layers: LayerFilter | None = None,
    conv: str = "positions",
    timesteps: str = "all",
    downsample: int | None = None,
    threshold: float = 0.99,
    budget: float | None = 0.02,
    outputs: Mapping[str, Pick] = MappingProxyType({}),
    every: int = 1,
    max_samples: int | None = None,
    max_width: int = 4096,
    statistics: Sequence[str] = (),
    keep: str = "spectrum",
    ranks: str = "all",
    classes: int | None = None,
    sinks: Sequence[Sink] = (),
    progress: bool = False,
    resume: bool = False,
    resume_from: int | None = None,
) -> Monitor:
    """Watch a model: from now on every call of its layers counts, until `close()`.

    The model itself is not changed: losses and weights are bit-identical with and without.

    Where many processes train the model, after `torch.distributed.init_process_group`, call this on
    every rank with the same arguments: the rows of all ranks count, and rank 0 records.

    Args:
        model: The root module, whose `training` flag tells the phase of a call.
        run: A folder to record into; None to record nothing.
        layers: Glob patterns on qualified names (`"!lm_head"` takes away again), or a predicate
            `(name, module) -> bool`; None for every linear, convolutional, recurrent and attention
            layer. An exact name takes any module whose output has its features last.
        conv: What is a row of a convolution's output: `positions` (each), or the `mean`, `max` or
            `median` over positions, or `flatten` for whole maps.
        timesteps: `all` steps of a recurrent layer, or each sequence's `last` real one.
        downsample: Reduce larger feature maps to so many positions a side first.
        threshold: Fraction of the variance that intrinsic dimension stands for, in (0, 1].
        budget: The share of a layer's own training arithmetic that watching it may take, in
            (0, 1]: rows are sampled evenly to keep to it. None, or 1, for every row. See
            docs/performance.md.
        outputs: Glob patterns, with functions that pick the tensor to read, features last, from
            what the matching layers return. Unasked it is the tensor itself, the first item of a
            tuple, or `last_hidden_state`, `logits` or the first tensor of a dict. In
            a compiled model the function is compiled with it, and has to work there.
        every: Observe every k-th call of the model, in each phase.
        max_samples: Stop a layer's window at so many samples.
        max_width: The widest layer whose covariance is held, in 12·d² bytes. A wider one, from 513
            on, is sketched in 4,096·d bytes: its reading is `sketched`, with an intrinsic dimension
            where the sketch captures that much of the variance, else a lower bound, `at_least`.
        statistics: Further statistics to measure: `rankme` takes a decomposition of its own.
        keep: `spectrum`, or `covariance` to keep covariance matrices in the run too, of all layers
            that are not sketched.
        ranks: `all` processes of the default process group together, or each its `own` rows alone.
        classes: Have a live probe of every layer that is not sketched: with `monitor.labels(y)`
            before each call, y from 0 to `classes` - 1, a linear classifier of the train phase's
            rows is scored on the eval phase's. See docs/live-probes.md.
        sinks: Other places for the numbers: objects with `write(snapshot)` and `close()`, each
            called in a thread of its own.
        progress: Show the last snapshot in one line on standard error, on rank 0: in a terminal its
            bottom line, under all that is printed; in a notebook a line that is replaced; else a
            line a snapshot.
        resume: Go on with the run at this path, if there is one.
        resume_from: The same, but first drop what lies at this step or after it, probes and
            projection curves of these steps among it.

    Returns:
        The monitor. Keep it: when it is garbage-collected, watching ends.

    Raises:
        ArgumentError: If an argument is outside its rule.
        LayerSelectionError: If no layer matches.
        RunError: If the run cannot be made, or holds one already and `resume` is False.
        RanksError: If the ranks watch different layers or in different ways, or one does not come.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> with watch(model) as monitor:
        ...     _ = model(torch.randn(100, 4))
        ...     snapshot = monitor.snapshot(step=0)
        >>> snapshot.train["0"].intrinsic_dimension
        4
    """
    choose(ranks, RANKS, where="watch: ranks")
    meeting = Meeting.of_all("watch") if ranks == "all" else Meeting("watch")
    with meeting.together():
        _check_model(model)
        settings = Settings(
            conv=conv,
            timesteps=timesteps,
            downsample=downsample,
            threshold=threshold,
            budget=budget,
            every=every,
            max_samples=max_samples,
            max_width=max_width,
            statistics=names_of(statistics),
            keep=keep,
            ranks=ranks,
            classes=classes,
        )
        if keep == "covariance" and run is None and meeting.rank == 0:
            raise ArgumentError(
                "watch: keep='covariance' must come with a run, got run=None. Pass a folder as run."
            )
        _check_resume(run, resume, resume_from, records=meeting.rank == 0)
        _check_sinks(sinks)
        if not isinstance(progress, bool):
            raise ArgumentError(
                f"watch: progress must be True or False, got {progress!r}. Pass True."
            )
        original = unwrapped(model)
        selected = select_layers(original, layers, settings, outputs)
    meeting.settle(_said(selected, settings, outputs, run), refuse_mismatch)
    with ExitStack() as undo:
        writer = None
        with meeting.together():
            capture = Capture(original, selected, settings)
            undo.callback(capture.attachment.detach)
            if run is not None and meeting.rank == 0:
                writer = Writer.open(
                    run,
                    facts=_facts(original, selected, processes=meeting.size),
                    settings=settings,
                    layers=[layer.facts for layer in selected],
                    resume=resume,
                    resume_from=resume_from,
                )
                undo.callback(writer.close)
            forget_compiled_code(model)
        last_step = meeting.settle(writer and writer.last_step, lambda said: said[0])
        others: Ranks = Alone() if meeting.size == 1 else AllRanks(meeting)
        undo.pop_all()
    if progress and _is_first(meeting):
        # It takes rich, which most trainings do without.
        from fathom.progress.progress import Progress

        sinks = [*sinks, Progress()]
    return Monitor(capture, settings, Recorder(writer, sinks), others, last_step=last_step)


def _is_first(meeting: Meeting) -> bool:
    """Tell whether this process is the first of a training, where each watches by itself too."""
    if meeting.size == 1 and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return meeting.rank == 0 and os.environ.get("RANK", "0") in ("", "0")


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"watch: model must be a torch.nn.Module, got {type(model).__name__}. "
            "Pass the module itself, not its class or its state."
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ArgumentError(
            "watch: model must be a module in Python, got one of TorchScript, which takes no hooks "
            "like fathom's. Pass the module that it was made from."
        )


def _check_resume(run: object, resume: bool, resume_from: int | None, *, records: bool) -> None:
    if run is not None and not isinstance(run, str | os.PathLike):
        raise ArgumentError(f"watch: run must be a path, got {run!r}. Pass the name of a folder.")
    if not isinstance(resume, bool):
        raise ArgumentError(f"watch: resume must be True or False, got {resume!r}. Pass True.")
    if resume_from is not None:
        whole_number(resume_from, where="watch: resume_from")
        if run is None and records:
            raise ArgumentError(
                "watch: resume_from must come with a run, got run=None. Pass the run's folder."
            )


def _check_sinks(sinks: Sequence[Sink]) -> None:
    if not isinstance(sinks, Sequence) or isinstance(sinks, str):
        raise ArgumentError(f"watch: sinks must be a list of sinks, got {sinks!r}. Pass [sink].")
    for sink in sinks:
        methods = (getattr(sink, name, None) for name in ("write", "close"))
        if isinstance(sink, type) or not all(map(callable, methods)):
            raise ArgumentError(
                f"watch: sinks must have write(snapshot) and close(), got {sink!r}. "
                "Pass objects of a class with these two methods, such as CSV(path)."
            )


def _said(
    selected: Sequence[Layer],
    settings: Settings,
    outputs: Mapping[str, Pick],
    run: object,
) -> dict[str, Any]:
    """Return what has to be the same on every rank, as JSON can hold it."""
    return {
        "layers": [f"{each.facts.name} ({each.facts.kind})" for each in selected],
        **settings.as_dict(),
        "outputs": sorted(outputs),
        "run": run is not None,
    }


def _facts(model: nn.Module, selected: Sequence[Layer], *, processes: int) -> Mapping[str, Any]:
    kind = class_of(model)
    picked = [layer.facts.name for layer in selected if layer.pick is not main_output]
    return {
        "model": f"{kind.__module__}.{kind.__qualname__}",
        "fathom": version("fathom"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processes": processes,
        # Of these, rows are not of what the layer returns as it stands.
        **({"picked": picked} if picked else {}),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
