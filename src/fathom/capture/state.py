"""What has been gathered since the last snapshot, as tensors for a checkpoint."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from fathom.capture.layers import Layer
from fathom.capture.window import Window
from fathom.errors import ArgumentError, ShapeError
from fathom.snapshot import PHASES
from fathom.spectral.moments import Moments
from fathom.spectral.signs import Signs
from fathom.spectral.sketch import Sketch

State = dict[str, Tensor]

_MOMENTS = ("count", "mean", "scatter", "dropped")
_SKETCH = ("count", "mean", "products", "squares", "dropped")
# The first row of the signs, which another version of torch might draw otherwise.
_SIGNS = "signs"
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
        moments = window.moments
        if moments is not None:
            for part in _SKETCH if isinstance(moments, Sketch) else _MOMENTS:
                state[f"{key}/{part}"] = getattr(moments, part).clone()
        if isinstance(moments, Sketch):
            state[f"{key}/{_SIGNS}"] = moments.signs.values[0].clone()
    return state


def windows_of(state: Mapping[str, Tensor], layers: Mapping[str, Layer]) -> list[Window]:
    """Return the windows that `state_of` was given.

    Args:
        state: What it returned, on any device.
        layers: The watched layers by name.

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
        windows.append(_window(layers[name], phase, found))
    return windows


def _window(layer: Layer, phase: str, parts: Mapping[str, Tensor]) -> Window:
    name, width = layer.facts.name, layer.facts.width
    needed = (*_SKETCH, _SIGNS) if "products" in parts else _MOMENTS
    missing = {*_NUMBERS, *(needed if "mean" in parts else ())} - parts.keys()
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
    return Window(
        layer=layer,
        phase="train" if phase == "train" else "eval",
        moments=moments,
        resolution=float(parts["resolution"]),
        samples=int(parts["samples"]),
        calls=int(parts["calls"]),
        skipped=int(parts["skipped"]),
        padded=int(parts["padded"]),
    )


def _moments(layer: Layer, width: int, parts: Mapping[str, Tensor]) -> Moments | Sketch:
    sketched = "products" in parts
    columns = parts["products"].shape[-1] if sketched else width
    shapes = {"mean": (width,), "squares": (width,), "scatter": (width, width)}
    shapes |= {"products": (width, columns), _SIGNS: (columns,)}
    for part in (*_SKETCH, _SIGNS) if sketched else _MOMENTS:
        if parts[part].shape != shapes.get(part, ()):
            raise ShapeError(
                f"load_state_dict: {part} of {layer.facts.name} must have shape "
                f"{shapes.get(part, ())}, got {tuple(parts[part].shape)}. "
                "Pass what Monitor.state_dict() returned."
            )
    home = layer.home()
    # Copies: the state stays the user's.
    own = {
        part: parts[part].to(
            home, torch.int64 if part in ("count", "dropped") else torch.float64, copy=True
        )
        for part in (_SKETCH if sketched else _MOMENTS)
    }
    if not sketched:
        return Moments(**own)
    signs = Signs.of(width, columns, home)
    if not torch.equal(signs.values[0].cpu(), parts[_SIGNS].cpu()):
        raise ArgumentError(
            f"load_state_dict: signs of {layer.facts.name} must be those of this version of "
            "torch, got others. Save right after a snapshot, when there are no rows."
        )
    return Sketch(**own, signs=signs)
