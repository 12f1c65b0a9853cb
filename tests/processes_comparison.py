"""What the snapshots of many ranks say, against rows that each rank took by itself."""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import fathom
import reference
from comparison import assert_read

Key = tuple[str, str]
"""A phase and a layer."""

BySample = Callable[[Any], Tensor]
"""What a layer returned -> (b, ..., d)."""


@dataclass
class Seen:
    """What one layer of one rank returned in one phase."""

    rows: list[reference.Array] = field(default_factory=list)
    samples: int = 0
    calls: int = 0
    padded: int = 0
    types: set[str] = field(default_factory=set)


class Share(NamedTuple):
    """What a rank tells of a window: its snapshot, pickled, and what it should be of."""

    snapshot: bytes
    seen: dict[Key, Seen]

    def taken(self) -> fathom.Snapshot:
        return pickle.loads(self.snapshot)  # type: ignore[no-any-return]


class Witness:
    """Watches a model, and takes the same rows with hooks of the test's own.

    Of no model at all, so that a training can be run once more unwatched, it does nothing.
    """

    def __init__(
        self,
        model: nn.Module | None,
        modules: Mapping[str, nn.Module],
        by_sample: Mapping[str, BySample] | None = None,
        /,
        **options: Any,
    ) -> None:
        """Watch from now on: `modules` and `by_sample` are by name, `options` are of `watch`."""
        self.shares: list[Share] = []
        self.looks = True
        self.mask: Tensor | None = None
        self._model, self._limit = model, options.get("max_samples")
        self._seen: dict[Key, Seen] = {}
        self._handles = []
        if model is not None:
            self.monitor = fathom.watch(model, **options, budget=None)
            for name, module in modules.items():
                hook = self._hook(name, (by_sample or {}).get(name, _itself))
                self._handles.append(module.register_forward_hook(hook))

    def snapshot(self, step: int, **metrics: Any) -> None:
        """End a window."""
        if self._model is not None:
            snapshot = self.monitor.snapshot(step, **metrics)
            self.shares.append(Share(pickle.dumps(snapshot), self._seen))
            self._seen = {}

    def close(self) -> None:
        if self._model is not None:
            self.monitor.close()
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str, by_sample: BySample) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            assert self._model is not None
            if not self.looks:
                return
            key = "train" if self._model.training else "eval", name
            seen = self._seen.setdefault(key, Seen())
            left = None if self._limit is None else self._limit - seen.samples
            if left == 0:
                return
            values = by_sample(output).detach()[:left]
            real = torch.ones(values.shape[:-1], dtype=torch.bool)
            if self.mask is not None:
                real = self.mask[:left]
            # A copy, before anything can be written over it.
            seen.rows.append(values[real].double().numpy().copy())
            seen.samples += len(values)
            seen.calls += 1
            seen.padded += int((~real).sum())
            seen.types.add(str(values.dtype))

        return hook


def _itself(output: Any) -> Tensor:
    return output  # type: ignore[no-any-return]


def layers_of(model: nn.Module, *kinds: type[nn.Module]) -> dict[str, nn.Module]:
    """The modules of some kinds by the names that they have now; linear ones unless told."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, kinds or nn.Linear)
    }


def bits(tensors: Iterable[Tensor | None]) -> list[bytes]:
    """Numbers, to be compared to the bit; of sharded ones, this rank's own."""
    own = [getattr(each, "to_local", lambda each=each: each)() for each in tensors]
    return [
        b"" if each is None else each.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
        for each in own
    ]


def bits_of(model: nn.Module, losses: Iterable[Tensor]) -> list[bytes]:
    """The losses of a training, with the gradients and weights that it ended with."""
    parameters = list(model.parameters())
    return bits([*losses, *(each.grad for each in parameters), *parameters, *model.buffers()])


def said(snapshot: fathom.Snapshot) -> dict[Any, Any]:
    """All that a snapshot says, to be compared to the bit."""
    return {
        (phase, name): (
            reading.layer,
            reading.eigenvalues.numpy().tobytes(),
            (reading.rows, reading.samples, reading.calls, reading.dropped, reading.padded),
            reading.status,
            repr(dict(reading.statistics)),  # as text, where nan is nan
        )
        for phase in ("train", "eval")
        for name, reading in snapshot.phase(phase).items()
    } | {
        "step": snapshot.step,
        "metrics": dict(snapshot.metrics),
        "order": [list(snapshot.train), list(snapshot.eval), snapshot.output_layer],
        "unobserved": snapshot.unobserved,
        "disabled": dict(snapshot.disabled),
    }


def assert_of_all_ranks(
    shares: Sequence[Share], *, disabled: Sequence[str] = ()
) -> fathom.Snapshot:
    """Compare a window: every rank has the same snapshot, which is of the rows of all of them."""
    snapshot, *others = [share.taken() for share in shares]
    for other in others:
        assert said(other) == said(snapshot)
    assert list(snapshot.disabled) == list(disabled)
    assert not snapshot.unobserved
    keys = {key for share in shares for key in share.seen}
    assert keys == {(phase, name) for phase in ("train", "eval") for name in snapshot.phase(phase)}
    assert keys
    for phase, name in keys:
        every = [share.seen[phase, name] for share in shares if (phase, name) in share.seen]
        reading = snapshot.phase(phase)[name]
        rows = np.concatenate([part for seen in every for part in seen.rows])
        assert_read(reading, rows, samples=sum(seen.samples for seen in every))
        assert reading.calls == sum(seen.calls for seen in every)
        assert reading.padded == sum(seen.padded for seen in every)
    return snapshot
