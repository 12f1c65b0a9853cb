"""Probe a model: how well its classes can be told apart at each of its layers."""

from typing import Any

from torch import nn

from fathom.analysis.batches import Unpack
from fathom.analysis.fitting import Fitting
from fathom.analysis.keeping import Given, Place, folder_of, keep, step_in
from fathom.analysis.outputs import chosen_layers
from fathom.analysis.passing import Pass
from fathom.analysis.shown import Shown
from fathom.capture.selection import LayerFilter
from fathom.errors import ArgumentError, warn
from fathom.extras import require
from fathom.probes import KIND, Probes

MEMORY = 2 * 2**30


def probe(
    model: nn.Module,
    train_data: Any,
    eval_data: Any,
    *,
    run: Given | None = None,
    step: int | None = None,
    layers: LayerFilter | None = None,
    legacy: bool = False,
    memory: int = MEMORY,
    workers: int | None = None,
    progress: bool = False,
    unpack: Unpack | None = None,
) -> Probes:
    """Fit a linear classifier on the output of each layer, before its activation.

    A multinomial logistic regression (scikit-learn's, L2 with C = 1) a layer, on standardised
    features, run to convergence. Feature maps are average-pooled to 4×4 and flattened, the tokens
    or steps of a sequence are averaged over those that are real. The model is in eval mode
    meanwhile, unseen by monitors, and afterwards as it was. Each data set is gone through once; of
    the training data every layer's features are kept, of the held-out data none.

    Args:
        model: The model, as it is now.
        train_data: What the probes are fitted on: a `DataLoader` or any iterable of batches
            `(x, y)` or dicts with `labels`, a `Dataset`, or tensors `(x, y)`. Shuffled or not. A
            sample labelled -100 has no label and is left out, of `eval_data` too.
        eval_data: What they are judged by. Classes that `train_data` lacks count as wrong.
        run: A run, or its folder, that the probes are stored in; None for nowhere.
        step: The step of the run at which the model was as it is; None for its last.
        layers: As of `fathom.watch`; None for every layer that fathom knows.
        legacy: As in the experiments of Richter et al. 2021: saga, 100 iterations, no scaling.
        memory: Bytes that features and fits may take; features beyond go to a temporary file.
        workers: How many layers are fitted at the same time; None for one a core. The numbers do
            not depend on it.
        progress: Show on standard error how far it is.
        unpack: `batch -> (inputs, labels)`, for batches of any other kind, such as
            `lambda batch: (batch[0], batch[2])`; the model is called on `inputs`, of a tuple on its
            items and of a dict by name.

    Returns:
        A `Probe` a layer, in execution order; it prints as a table.

    Raises:
        ArgumentError: If data have no samples or no class numbers as labels, there is one class
            only, or no layer can be probed.
        LayerSelectionError: If `layers` selects nothing.
        MissingExtraError: If scikit-learn is not installed.
        RunNotFoundError: If there is no such run.

    References:
        Alain and Bengio 2016; Richter et al. 2021.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(60, 4)
        >>> y = (x[:, 0] > 0).long()
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> probes = probe(model, (x[:40], y[:40]), (x[40:], y[40:]))
        >>> [each.layer for each in probes]
        ['0', '1']
        >>> probes["0"].train_accuracy
        1.0
    """
    require("sklearn", extra="probes")
    workers = _workers(workers)
    _check_memory(memory)
    folder = None if run is None else folder_of(run, where="probe")
    step = step_in(run, step, where="probe")
    through = Pass(model, chosen_layers(model, layers, where="probe"), unpack)
    with Shown(progress) as shown, Fitting(through, memory, shown, legacy=legacy) as fitting:
        fitting.gather(train_data)
        fitting.fit(workers)
        unknown = fitting.judge(eval_data)
        found = fitting.result(step)
    if unknown:
        warn(
            f"probe: eval_data has {unknown:,} samples of classes that train_data lacks; they "
            "count as wrong. Fit on all classes."
        )
    if found.left_out:
        said = "; ".join(f"{name or '(model)'}: {why}" for name, why in found.left_out.items())
        warn(f"probe: {len(found.left_out)} layers are left out: {said}")
    if folder is not None:
        keep(Place(folder, found.name), KIND, found.to_body())
    return found


def _workers(workers: int | None) -> int:
    if workers is None:
        count: int = require("joblib", extra="probes").cpu_count()
        return count
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ArgumentError(
            f"probe: workers must be a whole number of 1 or more, got {workers!r}. Leave it out "
            "for one a core."
        )
    return workers


def _check_memory(memory: int) -> None:
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise ArgumentError(
            f"probe: memory must be a whole number of bytes, got {memory!r}. Pass 4 * 2**30 for "
            "4 GiB."
        )
