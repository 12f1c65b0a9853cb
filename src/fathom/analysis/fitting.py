"""From data to probes: gather the features, fit each layer, judge by what was held out."""

import math
import warnings
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fathom.analysis.gathering import Gathering
from fathom.analysis.passing import Pass, Seen
from fathom.analysis.regression import Fit, fitted, workspace
from fathom.analysis.shown import Shown
from fathom.capture.probing import IGNORED
from fathom.errors import ArgumentError
from fathom.extras import require
from fathom.probes import Probe, Probes
from fathom.text import size


class Fitting:
    """The probes of a model on their way: `gather`, `fit`, `judge`, `result`."""

    def __init__(self, through: Pass, memory: int, shown: Shown, *, legacy: bool):
        """Begin without data.

        Args:
            through: Goes through data.
            memory: Bytes that features may take.
            shown: Says how far it is.
            legacy: As of `fathom.probe`.
        """
        self._through = through
        self._memory = memory
        self._shown = shown
        self._legacy = legacy
        # The other half is for what is fitted meanwhile.
        self._gathering = Gathering(memory // 2)
        self._labels = np.empty(0, np.int64)
        self._classes = self._labels
        self._copies: dict[str, int] = {}
        self._widths: dict[str, int] = {}
        self._fits: dict[str, Fit] = {}
        self._right: dict[str, int] = {}
        self._own: int | None = 0
        self._held_out = 0
        self._ignored = self._held_out_ignored = 0

    def gather(self, data: Any) -> None:
        """Gather the features of the training data.

        Args:
            data: With labels.

        Raises:
            ArgumentError: If there is one class only, or nothing that can be probed.
        """
        labels = []
        with self._shown.task("training data", _length(data)) as advance:
            for seen in self._through.through(data, where="probe: train_data"):
                truth, rows = _labelled(seen)
                labels.append(truth)
                self._ignored += len(seen.labels) - len(truth)
                for name, found in seen.features.items():
                    self._copies[name] = found.copies
                    self._widths[name] = found.values.shape[1]
                    self._gathering.add(name, rows[name])
                for name in self._through.left_out:
                    self._gathering.drop(name)
                advance()
        self._refuse_none()
        self._labels = np.concatenate(labels)
        self._classes = np.unique(self._labels)
        if len(self._classes) < 2:
            raise ArgumentError(
                "probe: train_data must have two classes or more, got "
                f"{self._classes.tolist()} alone. Pass data of all classes."
            )

    def fit(self, workers: int) -> None:
        """Fit every layer, several at a time as far as memory goes.

        Args:
            workers: At most so many at a time.

        Raises:
            ArgumentError: If no layer fits into memory.
        """
        self._make_room()
        joblib, threads = (require(each, extra="probes") for each in ("joblib", "threadpoolctl"))
        convergence = require("sklearn.exceptions", extra="probes").ConvergenceWarning
        # The largest first, so that no worker is left alone with it at the end.
        names = sorted(self._through.names, key=lambda name: -self._widths[name])
        at_once = (self._memory - self._gathering.held) // self._bytes(names[0])
        workers = max(1, min(workers, len(names), at_once))
        with self._shown.task("probes", len(names)) as advance, warnings.catch_warnings():
            # Which fits did not converge is told in the table.
            warnings.simplefilter("ignore", convergence)
            # They are class numbers, however few samples each has.
            warnings.filterwarnings("ignore", "The number of unique classes")

            def fit(name: str) -> Fit:
                found = self._fitted(name)
                advance()
                return found

            # One thread a fit: sums in another order would have other bits. Threads and no
            # processes, as they share the features, and compiled code takes the time.
            with threads.threadpool_limits(1):
                parallel = joblib.Parallel(n_jobs=workers, require="sharedmem")
                fits = parallel(joblib.delayed(fit)(name) for name in names)
        self._fits = dict(zip(names, fits, strict=True))
        self._right = dict.fromkeys(names, 0)

    def judge(self, data: Any) -> int:
        """Count what is right of the held-out data, of which nothing is kept.

        Args:
            data: With labels.

        Returns:
            How many samples are of classes that the training data lack.

        Raises:
            ArgumentError: If no sample has a label, or nothing can be probed.
        """
        unknown = 0
        with self._shown.task("held-out data", _length(data)) as advance:
            for seen in self._through.through(data, where="probe: eval_data"):
                truth, rows = _labelled(seen)
                self._held_out_ignored += len(seen.labels) - len(truth)
                for name, features in rows.items():
                    self._right[name] += self._fits[name].right(features, truth)
                known = self._own is not None and seen.right is not None
                self._own = self._own + seen.right if known else None  # type: ignore[operator]
                self._held_out += len(truth)
                unknown += int((~np.isin(truth, self._classes)).sum())
                advance()
        self._refuse_none()
        if not self._held_out:
            raise ArgumentError(
                f"probe: eval_data must have labels, got {IGNORED} for every sample, which is "
                "none. Pass samples of a class."
            )
        return unknown

    def result(self, step: int | None) -> Probes:
        """Return what was found.

        Args:
            step: Of the run.

        Returns:
            A probe a layer, in execution order.
        """
        probes = tuple(
            Probe(
                layer=name,
                train_accuracy=self._fits[name].accuracy,
                eval_accuracy=self._right[name] / self._held_out,
                samples=len(self._labels),
                eval_samples=self._held_out,
                features=self._widths[name] * self._copies[name],
                converged=self._fits[name].converged,
            )
            for name in self._through.names
        )
        own = math.nan if self._own is None else self._own / self._held_out
        return Probes(
            probes,
            own,
            step,
            self._legacy,
            dict(self._through.left_out),
            self._ignored,
            self._held_out_ignored,
        )

    def _make_room(self) -> None:
        """Leave out what does not fit into memory alone, and spill for what does."""
        for name in self._through.names:
            needed = self._bytes(name)
            if needed > self._memory:
                reason = f"its fit takes {size(needed)} of memory={size(self._memory)}"
                self._through.leave_out(name, reason)
                self._gathering.drop(name)
            elif needed > self._memory - self._gathering.held:
                self._gathering.spill()
        self._refuse_none()

    def _fitted(self, name: str) -> Fit:
        kind = np.float32 if self._legacy else np.float64
        features: NDArray[Any] = np.empty((len(self._labels), self._widths[name]), kind)
        self._gathering.into(name, features)
        self._gathering.drop(name)
        return fitted(features, self._labels, copies=self._copies[name], legacy=self._legacy)

    def _bytes(self, name: str) -> int:
        samples, width = len(self._labels), self._widths[name]
        return workspace(samples, width, len(self._classes), legacy=self._legacy)

    def _refuse_none(self) -> None:
        if not self._through.names:
            name, reason = next(iter(self._through.left_out.items()))
            raise ArgumentError(
                "probe: layers must have one that can be probed, got none; of "
                f"{len(self._through.left_out)}, {name or '(model)'}: {reason}."
            )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the features."""
        self._gathering.close()


def _length(data: Any) -> int | None:
    """Return how many batches there are; None where only the data know how they are cut."""
    try:
        return None if isinstance(data, tuple | Dataset) else len(data)
    except TypeError:
        return None


def _labelled(seen: Seen) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    """Return the labels of a batch, and its features by layer, of samples that have a label."""
    rows = {name: found.values.numpy() for name, found in seen.features.items()}
    known = seen.labels != IGNORED
    if known.all():
        return seen.labels, rows
    return seen.labels[known], {name: each[known] for name, each in rows.items()}
