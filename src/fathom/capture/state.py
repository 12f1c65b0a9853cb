"""What has been gathered since the last snapshot, as tensors for a checkpoint."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from fathom.capture.layers import Layer
from fathom.capture.sampling import Sampler
from fathom.capture.window import Window
from fathom.errors import ArgumentError, ShapeError
from fathom.reading import PHASES, Phase
from fathom.spectral.classes import ClassSums
from fathom.spectral.moments import Moments
from fathom.spectral.sketch import Sketch

State = dict[str, Tensor]

MakeSampler = Callable[[str, Phase, Sequence[int]], Sampler | None]

# With the number of dimensions of each.
_MOMENTS = {"count": 0, "mean": 1, "scatter": 2, "dropped": 0, "heaviest": 0, "read": 0}
_SKETCH = {
    "count": 0,
    "mean": 1,
    "products": 2,
    "squares": 1,
    "dropped": 0,
    "heaviest": 0,
    "read": 0,
}
_PENDING = {"shift": 1, "product": 2, "total": 1, "rows": 0, "limit": 0, "weight": 0}
_CLASSES = ("centre", "counts", "sums")
_NUMBERS = ("resolution", "samples", "calls", "skipped", "padded")


def state_of(windows: Iterable[Window]) -> State:
    """Return windows as tensors.

    Args:
        windows: They go on changing; the tensors are copies.

    Returns:
        By `phase/layer/part`.
    """
    state = {}
    for window in windows:
        key = f"{window.phase}/{window.layer.facts.name}"
        for part in _NUMBERS:
            kind = torch.float64 if part == "resolution" else torch.int64
            number = getattr(window, part)
            state[f"{key}/{part}"] = torch.as_tensor(number, dtype=kind, device="cpu").clone()
        if window.sampler is not None:
            state[f"{key}/sampler"] = torch.tensor(window.sampler.numbers(), device="cpu")
        if window.hits is not None:
            state[f"{key}/hits"] = window.hits.clone()
        if window.classes is not None:
            sums = window.classes.state()
            state |= {f"{key}/classes_{part}": each for part, each in sums.items()}
        if window.moments is not None:
            state |= {f"{key}/{part}": each for part, each in window.moments.state().items()}
    return state


def windows_of(
    state: Mapping[str, Tensor], layers: Mapping[str, Layer], sampler: MakeSampler
) -> list[Window]:
    """Return the windows that `state_of` was given.

    Args:
        state: What it returned, on any device.
        layers: The watched layers by name.
        sampler: What makes a sampler for a layer and phase, and from a sampler's own numbers.

    Returns:
        The windows, with their moments where the layers' own parameters are.

    Raises:
        ArgumentError: If the state is of a layer that is not watched, or lacks a part.
        ShapeError: If a layer has another width now.
    """
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, tensor in state.items():
        phase, _, rest = key.partition("/")
        name, _, part = rest.rpartition("/")
        parts.setdefault((phase, name), {})[part] = tensor
    windows = []
    for (phase, name), found in parts.items():
        if phase not in PHASES or name not in layers:
            raise ArgumentError(
                f"load_state_dict: state must be of watched layers, got {phase}/{name}. "
                "Watch the same layers as when it was saved."
            )
        window = _window(layers[name], phase, found)
        numbers = found["sampler"].tolist() if "sampler" in found else []
        window.sampler = sampler(name, window.phase, numbers)
        windows.append(window)
    return windows


def _window(layer: Layer, phase: str, parts: Mapping[str, Tensor]) -> Window:
    name, width = layer.facts.name, layer.facts.width
    missing = {*_NUMBERS, *(_parts_of(parts) if "mean" in parts else ())} - parts.keys()
    if missing:
        raise ArgumentError(
            f"load_state_dict: state of {name} must be whole, got one without "
            f"{', '.join(sorted(missing))}. Pass what Monitor.state_dict() returned."
        )
    moments = None
    if "mean" in parts:
        found = parts["mean"].numel()
        if width is not None and found != width:
            raise ShapeError(
                f"load_state_dict: {name} must have width {width}, got {found}. "
                "This state is of another model."
            )
        moments = _moments(layer, found, parts)
    hits = parts.get("hits")
    return Window(
        layer=layer,
        phase="train" if phase == "train" else "eval",
        moments=moments,
        resolution=float(parts["resolution"]),
        samples=int(parts["samples"]),
        calls=int(parts["calls"]),
        skipped=int(parts["skipped"]),
        padded=int(parts["padded"]),
        classes=None if moments is None else _class_sums(moments, parts),
        hits=None if hits is None or moments is None else hits.clone().to(moments.mean.device),
    )


def _moments(layer: Layer, width: int, parts: Mapping[str, Tensor]) -> Moments | Sketch:
    kind = Sketch if "signs" in parts else Moments
    columns = parts["signs"].numel() if kind is Sketch else width
    for part, dimensions in _parts_of(parts).items():
        shape = (width, columns)[:dimensions]
        if parts[part].shape != shape:
            raise ShapeError(
                f"load_state_dict: {part} of {layer.facts.name} must have shape {shape}, got "
                f"{tuple(parts[part].shape)}. Pass what Monitor.state_dict() returned."
            )
    return kind.of_state(parts, device=layer.home())


def _class_sums(moments: Moments | Sketch, parts: Mapping[str, Tensor]) -> ClassSums | None:
    found = {part: parts[key] for part in _CLASSES if (key := f"classes_{part}") in parts}
    if not found:
        return None
    classes = found["counts"].numel() if "counts" in found else 0
    shapes = {"centre": (moments.width,), "counts": (classes,), "sums": (classes, moments.width)}
    if shapes != {part: tuple(each.shape) for part, each in found.items()}:
        raise ShapeError(
            f"load_state_dict: sums of classes must have shapes {shapes}, got "
            f"{ {part: tuple(each.shape) for part, each in found.items()} }. "
            "Pass what Monitor.state_dict() returned."
        )
    return ClassSums.of_state(found, device=moments.mean.device)


def _parts_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return what there has to be, with the number of dimensions of each."""
    if "signs" in state:
        return _SKETCH
    if not any(part.startswith("pending_") for part in state):
        return _MOMENTS
    return _MOMENTS | {f"pending_{part}": dimensions for part, dimensions in _PENDING.items()}
