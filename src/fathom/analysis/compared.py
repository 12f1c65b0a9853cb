"""Go through data as often as it takes, and compare pairs of layers."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar

from fathom.analysis.alignment import Alignment, Compared
from fathom.analysis.batches import Unpack, batches
from fathom.analysis.blocks import Block, passes
from fathom.analysis.correlation import Correlation
from fathom.analysis.keeping import Place, place_in
from fathom.analysis.outputs import frozen
from fathom.analysis.positions import Positions
from fathom.analysis.randomness import same_randomness
from fathom.analysis.sources import Item, Shape, Source, home, results, shapes
from fathom.errors import ArgumentError, choose, warn
from fathom.spectral.vectors import check_threshold
from fathom.store.analyses import read_analyses
from fathom.store.stored import StoredRun
from fathom.text import size

METHODS = ("cka", "svcca", "pwcca")
MEMORY = 2**30

_WHERE = "similarity"
T = TypeVar("T")
Kept = TypeVar("Kept", contravariant=True)


class _Sums(Protocol[Kept]):
    def update(self, found: Mapping[Item, Kept], samples: int) -> None: ...
    def result(self) -> Compared: ...


class _Method(Protocol[T]):
    @property
    def least_samples(self) -> int: ...
    def room(self, memory: int) -> int: ...
    def memory_for(self, room: int) -> int: ...
    def cost(self, block: Block) -> int: ...
    def reduce(self, given: Positions) -> T: ...
    def joined(self, calls: Sequence[T]) -> T: ...
    def begin(self, block: Block) -> _Sums[T]: ...


class Found(NamedTuple):
    """What came of a comparison.

    Attributes:
        shapes: Of each layer that was compared, those of a model in execution order.
        blocks: Each with its values; of a square block that was split, one of a part and its mirror
            image alone.
        samples: How many were compared.
        left_out: How many more were in batches too small.
    """

    shapes: Mapping[Item, Shape]
    blocks: list[tuple[Block, Compared]]
    samples: int
    left_out: int


def check(method: str, threshold: float, memory: int) -> None:
    """Refuse wrong arguments before anything is run.

    Args:
        method: One of `METHODS`.
        threshold: In (0, 1].
        memory: In bytes.

    Raises:
        ArgumentError: If one is outside its rule.
    """
    choose(method, METHODS, where=f"{_WHERE}: method")
    check_threshold(threshold, where=_WHERE)
    if isinstance(memory, bool) or not isinstance(memory, int) or memory <= 0:
        raise ArgumentError(
            f"{_WHERE}: memory must be a whole number of bytes above 0, got {memory!r}. "
            f"Leave it out for {size(MEMORY)}."
        )


def place_for(
    run: StoredRun | str | os.PathLike[str] | None,
    name: str | None,
    *,
    method: str,
    kind: str,
    where: str,
) -> Place | None:
    """Return where a run is to keep a comparison, and say so if one is there that nobody named.

    Args:
        run: An open run, or the folder of one; None for nowhere.
        name: Which of its kind; None for the method.
        method: One of `METHODS`.
        kind: What is kept.
        where: The function, for messages.

    Returns:
        The place.

    Raises:
        ArgumentError: If no file can have that name.
        RunNotFoundError: If there is no run.
    """
    if run is None:
        return None
    place = place_in(run, method if name is None else name, where=where)
    if name is None and method in read_analyses(place.folder, kind)[0]:
        warn(
            f"{where}: run has {method!r} already, which this takes the place of. Keep both with "
            "name=."
        )
    return place


def compare(
    sources: Sequence[Source],
    data: Any,
    blocks_of: Callable[[Mapping[Item, Shape]], list[Block]],
    *,
    method: str,
    threshold: float,
    memory: int,
    unpack: Unpack | None,
) -> Found:
    """Compare pairs of layers.

    Args:
        sources: The models.
        data: As of `batches`; it is gone through again for each further pass.
        blocks_of: From the shapes of all layers that can be compared to what is to be compared.
        method: One of `METHODS`.
        threshold: The share of the variance that SVCCA keeps, in (0, 1].
        memory: In bytes.
        unpack: As of `batches`.

    Returns:
        The blocks with their values.

    Raises:
        ArgumentError: If the data have no batch, or too small ones, or cannot be gone through as
            often as needed.
    """
    with ExitStack() as undo:
        undo.enter_context(same_randomness(data))
        for model in {id(source.model): source.model for source in sources}.values():
            undo.enter_context(frozen(model))
        with same_randomness(data):
            stream = _batches(data, sources[0], unpack)
            first = next(stream, None)
            if first is None:
                raise ArgumentError(
                    f"{_WHERE}: data must have at least one batch, got none. A generator that was "
                    "gone through before is empty: give a DataLoader or a list."
                )
            found = shapes(sources, first)
            kind = _method(method, found, sources, threshold, memory)
            plan = passes(
                blocks_of(found),
                kind.cost,
                memory=memory,
                room=kind.room(memory),
                memory_for=kind.memory_for,
            )
            if len(plan) > 1 and isinstance(data, Iterator):
                raise ArgumentError(
                    f"{_WHERE}: data must be something to go through {len(plan)} times within "
                    f"{size(memory)}, got a {type(data).__name__}, which ends after once. Give a "
                    "DataLoader or a list, or more memory=."
                )
            measured, samples, left_out = _pass(sources, chain([first], stream), plan[0], kind)
        for blocks in plan[1:]:
            # From the same random state, so that a shuffled loader has the same batches again.
            with same_randomness(data):
                more, *_ = _pass(sources, _batches(data, sources[0], unpack), blocks, kind)
                measured += more
    return Found(found, measured, samples, left_out)


def _batches(data: Any, source: Source, unpack: Unpack | None) -> Iterator[Any]:
    where = f"{_WHERE}: data"
    return (batch.inputs for batch in batches(data, source.model, where=where, unpack=unpack))


def _method(
    method: str,
    found: Mapping[Item, Shape],
    sources: Sequence[Source],
    threshold: float,
    memory: int,
) -> _Method[Any]:
    device = home(sources)
    if method == "cka":
        return Alignment(found, device, memory)
    weighted = method == "pwcca"
    return Correlation(
        found,
        device,
        threshold=1.0 if weighted else threshold,
        weighted=weighted,
        name=lambda item: f"{item[1] or '(model)'} of {sources[item[0]].title}",
    )


def _pass(
    sources: Sequence[Source], stream: Iterable[Any], blocks: Sequence[Block], kind: _Method[T]
) -> tuple[list[tuple[Block, Compared]], int, int]:
    sums = [kind.begin(block) for block in blocks]
    wanted = list(dict.fromkeys(item for block in blocks for item in block.items))
    samples = left_out = largest = 0
    for batch in stream:
        held, counts = _batch(sources, batch, wanted, kind)
        count = min(counts, default=0)
        if count < kind.least_samples:
            left_out += count
            largest = max(largest, count)
            continue
        _check(sources, wanted, held, counts)
        for each in sums:
            each.update(held, count)
        samples += count
    if samples == 0:
        raise ArgumentError(
            f"{_WHERE}: data must give at least {kind.least_samples} samples a batch, got at most "
            f"{largest}, {left_out} in all. Give larger batches, such as of 128."
        )
    found = [(block, each.result()) for block, each in zip(blocks, sums, strict=True)]
    return found, samples, left_out


def _batch(
    sources: Sequence[Source], batch: Any, wanted: Sequence[Item], kind: _Method[T]
) -> tuple[dict[Item, T], set[int]]:
    """Return what is kept of each layer, and how many samples layers gave."""
    held: dict[Item, T] = {}
    counts: set[int] = set()

    def reduce(given: Positions) -> T | None:
        counts.add(len(given.values))
        return kind.reduce(given) if len(given.values) >= kind.least_samples else None

    for number, source in enumerate(sources):
        names = {name for each, name in wanted if each == number}
        for name, calls in results(source, batch, names, reduce).items():
            kept = [call for call in calls if call is not None]
            if kept:
                held[number, name] = kind.joined(kept)
    return held, counts


def _check(
    sources: Sequence[Source], wanted: Sequence[Item], held: Mapping[Item, T], counts: set[int]
) -> None:
    missing = next((item for item in wanted if item not in held), None)
    if missing is not None:
        number, name = missing
        raise ArgumentError(
            f"{_WHERE}: layers must be called for every batch, got {name!r} of "
            f"{sources[number].title}, which was not. Leave it out with layers=[...]."
        )
    if len(counts) > 1:
        raise ArgumentError(
            f"{_WHERE}: layers must give an output for each sample of every batch, got "
            f"{sorted(counts)} outputs for one. Choose others with layers=[...]."
        )
