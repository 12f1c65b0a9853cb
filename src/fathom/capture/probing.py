"""Live probes: which labels come with a call, and how well a classifier of a layer's rows does.

In train the rows of each class are added up. At the first call in eval after calls in train a
linear classifier is fitted to these sums and the moments, and what comes in eval is scored as it
passes: nothing is kept, and no data is gone through twice.
"""

import threading
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from fathom.capture.layers import home_of
from fathom.capture.rows import Rows
from fathom.capture.window import Window
from fathom.errors import ArgumentError, warn
from fathom.reading import Phase
from fathom.spectral.classes import ClassSums, SampleSums, near_mean, sums_by_sample
from fathom.spectral.discriminant import Discriminant, discriminant
from fathom.spectral.moments import Moments

IGNORED = -100
"""The label of a sample that has none, as in PyTorch's own losses."""

_KINDS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class _Given(threading.local):
    """Labels of the present call or the next, in one thread, and the phase they were used in."""

    labels: Tensor | None = None
    phase: Phase | None = None


class _Fitted(NamedTuple):
    """A probe, or why there is none, and after how many calls of which window it was fitted."""

    probe: Discriminant | str
    window: Window | None = None
    calls: int = 0


def give(labels: object, probing: "Probing | None") -> None:
    """Hold labels for the next call of the model in this thread, until its end.

    Args:
        labels: (b,) whole numbers; `IGNORED` for none.
        probing: What takes them; None where no probes were asked for.

    Raises:
        ArgumentError: If they are no labels, or nobody takes them.
    """
    if probing is None:
        raise ArgumentError(
            "Monitor.labels: classes must be given to watch, got none. Pass watch(..., "
            "classes=10) for labels from 0 to 9."
        )
    probing.label(labels)


class Probing:
    """The labels that are given, and the probe of every layer."""

    def __init__(self, classes: int):
        """Begin without labels.

        Args:
            classes: k; labels are from 0 to k - 1.
        """
        self.classes = classes
        self.reasons: dict[str, str] = {}
        """Why the last rows of a layer in eval were not scored, since the last snapshot."""
        self._given = _Given()
        self._invalid: Tensor | None = None
        self._train: dict[str, Window] = {}
        self._earlier: dict[str, tuple[ClassSums, Moments]] = {}
        self._fitted: dict[str, _Fitted] = {}
        self._broken: dict[str, str] = {}

    def label(self, labels: object) -> None:
        """Hold labels for the next call of the model in this thread, until its end.

        Args:
            labels: (b,) whole numbers; `IGNORED` for none.

        Raises:
            ArgumentError: If they are none, or lie outside of the classes. On a GPU to look would
                hold the training up: there one outside has no class, and the next snapshot warns.
        """
        labels = _whole_numbers(labels)
        found = labels.detach().to(torch.int64)
        outside = (found != IGNORED) & ((found < 0) | (found >= self.classes))
        if found.device.type == "cpu":
            if outside.any():
                raise ArgumentError(
                    f"Monitor.labels: labels must be from 0 to {self.classes - 1}, or {IGNORED} "
                    f"for none, got {int(found[outside][0])}. Pass the number of classes to watch."
                )
        else:
            before = self._invalid
            any_outside = outside.any()
            self._invalid = any_outside if before is None else before.to(found.device) | any_outside
        self._given.labels, self._given.phase = found, None

    def forget(self) -> None:
        """Let go of the labels: the call that they were given for is over."""
        self._given.labels = self._given.phase = None

    def labelled(
        self, window: Window, rows: Rows, samples: int, order: Tensor | None = None
    ) -> Rows:
        """Return the rows of a call with the labels of their samples, if these fit.

        Args:
            window: Of the layer.
            rows: Of all samples, or the first.
            samples: How many samples the call has.
            order: (b,) the place in the batch of each sample, where rows have them sorted.

        Returns:
            The same rows, with labels or without.
        """
        if self._given.phase not in (None, window.phase):
            # Where parts are called and never the root, no end of a call lets go of them.
            self.forget()
        labels, name = self._given.labels, window.layer.facts.name
        if name in self._broken:
            return rows
        if labels is None:
            self._tell(window, "no labels before a call; call monitor.labels(y) before the model")
        elif len(labels) != samples:
            self._tell(window, f"it has {samples:,} samples where there are {len(labels):,} labels")
        elif rows.owners is None and rows.values.shape[rows.batch_axis] != rows.samples:
            self._tell(window, "its rows do not lie by samples")
        else:
            self._given.phase = window.phase
            home = home_of(rows.values.device)
            if labels.device != home:
                # Once a call of the model, not once a layer.
                labels = self._given.labels = labels.to(home)
            if order is not None:
                labels = labels[order.to(home)]
            return rows._replace(labels=labels[: rows.samples])
        return rows

    def add(self, window: Window, rows: Rows, weight: int) -> None:
        """Add rows to the sums of their classes, or score them; never raise.

        Args:
            window: Of the layer, with these rows in its moments.
            rows: That were read, with their labels.
            weight: How many rows each stands for.
        """
        name = window.layer.facts.name
        if window.phase == "train" and self._train.get(name) is not window:
            self._train[name] = window
        if rows.labels is None or not rows.values.numel():
            return
        if not isinstance(window.moments, Moments):
            self._tell(window, "it is sketched, as wider than max_width, and has no covariance")
            return
        try:
            if window.phase == "train":
                self._sum(window, rows, rows.labels, weight)
            else:
                self._score(window, rows, rows.labels, weight)
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the training
            self._broken[name] = self.reasons[name] = f"{type(error).__name__}: {error}"
            warn(
                f"fathom: layer {name} can no longer be probed; the training and the layer's other "
                f"numbers go on. {self._broken[name]}"
            )

    def taken(self, windows: Iterable[Window]) -> None:
        """Keep what the next rows in eval may be scored with, and tell of labels outside.

        Args:
            windows: That go to a snapshot, which uses them up.
        """
        for window in windows:
            name = window.layer.facts.name
            if self._train.get(name) is not window:
                continue
            del self._train[name]
            if window.classes is None or not isinstance(window.moments, Moments):
                continue
            fitted = self._fitted.pop(name, None)
            if fitted and fitted.window is window and fitted.calls == window.calls:
                self._fitted[name] = _Fitted(fitted.probe)
                self._earlier.pop(name, None)
            else:
                copy = window.moments.to(window.moments.mean.device)
                self._earlier[name] = window.classes, copy
        self.reasons = {}
        invalid, self._invalid = self._invalid, None
        if invalid is not None and bool(invalid):
            warn(
                f"fathom: labels must be from 0 to {self.classes - 1}, or {IGNORED} for none: "
                "some that were given since the last snapshot are not, and count as none."
            )

    def loaded(self, windows: Iterable[Window]) -> None:
        """Go on with other windows than those that were there.

        Args:
            windows: All that there are now. Sums of another number of classes go.
        """
        self._train = {each.layer.facts.name: each for each in windows if each.phase == "train"}
        for window in self._train.values():
            if window.classes is not None and len(window.classes.counts) != self.classes:
                window.classes = None
        self._fitted, self._earlier, self.reasons = {}, {}, {}

    def drop(self, window: Window) -> None:
        """Forget a window whose numbers are wrong.

        Args:
            window: It is gone.
        """
        name = window.layer.facts.name
        if self._train.get(name) is window:
            del self._train[name]

    def _sum(self, window: Window, rows: Rows, labels: Tensor, weight: int) -> None:
        assert window.moments is not None
        if window.classes is None:
            centre = near_mean(rows.values, rows.keep).to(window.moments.mean.device)
            window.classes = ClassSums.about(centre, self.classes)
        sums = _summed(rows, labels, window.classes.centre)
        window.classes.add(sums, labels, weight=weight)

    def _score(self, window: Window, rows: Rows, labels: Tensor, weight: int) -> None:
        probe = self._probe(window.layer.facts.name)
        if isinstance(probe, str):
            self._tell(window, probe)
            return
        sums = _summed(rows, labels, probe.centre)
        told = sums.usable & (labels >= 0) & (labels < self.classes)
        right = told & (probe.classes_of(sums) == labels)
        found = torch.stack([weight * right.sum(), weight * told.sum(), told.sum()])
        window.hits = found if window.hits is None else window.hits + found

    def _probe(self, name: str) -> Discriminant | str:
        """Return the probe of a layer, fitted anew if there were calls in train since."""
        window, fitted = self._train.get(name), self._fitted.get(name)
        if window is not None and window.classes is not None:
            if fitted is None or fitted.window is not window or fitted.calls != window.calls:
                assert isinstance(window.moments, Moments)
                probe = discriminant(window.classes, window.moments)
                fitted = self._fitted[name] = _Fitted(probe, window, window.calls)
        elif name in self._earlier:
            fitted = self._fitted[name] = _Fitted(discriminant(*self._earlier.pop(name)))
        return "no labelled rows in train before those in eval" if fitted is None else fitted.probe

    def _tell(self, window: Window, reason: str) -> None:
        if window.phase == "eval":
            self.reasons[window.layer.facts.name] = reason


def _summed(rows: Rows, labels: Tensor, centre: Tensor) -> SampleSums:
    values, keep = rows.values, rows.keep
    if rows.owners is None:
        values = values.movedim(rows.batch_axis, 0)
        keep = None if keep is None else keep.movedim(rows.batch_axis, 0)
    return sums_by_sample(values, centre, keep=keep, owners=rows.owners, samples=len(labels))


def _whole_numbers(labels: object) -> Tensor:
    came = ""
    if not isinstance(labels, Tensor):
        try:
            labels = torch.as_tensor(labels, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            came = type(labels).__name__
    if isinstance(labels, Tensor):
        if labels.ndim != 1:
            came = f"shape {tuple(labels.shape)}"
        elif labels.dtype in _KINDS or not labels.numel():
            return labels
        else:
            came = f"{labels.dtype}"
    raise ArgumentError(
        f"Monitor.labels: labels must be whole numbers of shape (b,), one a sample, got {came}. "
        "Pass the batch's class indices, such as y."
    )
