"""One layer's output projected: the hook, for each kind of output."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from fathom.capture.layers import Layer, map_axis
from fathom.capture.modes import is_transformed
from fathom.capture.rows import main_output, with_main_output
from fathom.capture.sharded import refuse_part
from fathom.errors import ArgumentError, ShapeError
from fathom.settings import Settings
from fathom.spectral.directions import Basis, Directions
from fathom.spectral.precision import full_precision


class Projector:
    """A forward hook that projects what a layer returns; a copy of it does nothing."""

    def __init__(self, layer: Layer, directions: Directions, settings: Settings):
        """Keep all directions at first.

        Args:
            layer: The layer.
            directions: Its own.
            settings: How the rows were taken that they are of.
        """
        self.layer = layer
        self.directions = directions
        self._conv = settings.conv
        self._dimension = directions.width
        self._bases: dict[tuple[torch.device, torch.dtype], Basis] = {}

    @property
    def dimension(self) -> int:
        """k, how many directions are kept."""
        return self._dimension

    @dimension.setter
    def dimension(self, dimension: int) -> None:
        if dimension != self._dimension:
            self._dimension = dimension
            self._bases = {}

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Take a call.

        Returns:
            The output with its representation projected; None, which leaves it as it is, where all
            directions are kept.

        Raises:
            ShapeError: If it cannot be projected.
        """
        if self._dimension == self.directions.width:
            return None
        main = main_output(output)
        try:
            return with_main_output(output, self._projected(main))
        except ShapeError as error:
            tensor = main.data if isinstance(main, PackedSequence) else main
            came = (
                f"{tensor.dtype} of shape {tuple(tensor.shape)}"
                if isinstance(tensor, Tensor) and not tensor.is_nested
                else type(tensor).__name__
            )
            raise ShapeError(
                f"project: layer {self.layer.facts.name} must return what the source was measured "
                f"on, rows of width {self.directions.width}, got {came}. Pass the model and the "
                f"run that belong together. {error}"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        # As of the hooks of a monitor: a copy of the model is an ordinary model.
        return getattr, (nullcontext(), "__exit__")

    def _projected(self, main: Any) -> Any:
        if isinstance(main, PackedSequence):
            return PackedSequence(
                self._last(main.data),
                main.batch_sizes,
                main.sorted_indices,
                main.unsorted_indices,
            )
        if not isinstance(main, Tensor) or not main.is_floating_point() or not main.ndim:
            raise ShapeError("It is no tensor of real numbers.")
        refuse_part(main, self.layer.facts.name, ())
        if main.is_nested:
            parts = [self._last(each) for each in main.unbind()]
            return torch.nested.as_nested_tensor(parts, layout=main.layout)
        axis = map_axis(self.layer.module, main.ndim)
        return self._last(main) if axis is None else self._map(main, axis)

    def _last(self, tensor: Tensor) -> Tensor:
        """Project (..., d)."""
        self._check(tensor.shape[-1])
        rows = tensor.reshape(-1, tensor.shape[-1])
        with full_precision(tensor.device.type):
            basis = self._basis(tensor)
            projected = basis.project(rows.to(basis.mean.dtype))
        return projected.to(tensor.dtype).reshape(tensor.shape)

    def _map(self, tensor: Tensor, axis: int) -> Tensor:
        """Project (b, c, *space), or (c, *space) of a single image."""
        if axis == 0:
            return self._map(tensor[None], 1)[0]
        if self._conv == "flatten":
            return self._last(tensor.flatten(1)).reshape(tensor.shape)
        self._check(tensor.shape[1])
        if self._conv == "mean" and tensor.ndim > 2:
            return self._mean(tensor)
        last = tensor.movedim(1, -1)
        if last.is_contiguous():
            # Maps whose channels lie last in memory, and stay there.
            return self._last(last).movedim(-1, 1)
        with full_precision(tensor.device.type):
            basis = self._basis(tensor)
            maps = tensor.to(basis.mean.dtype).reshape(*tensor.shape[:2], -1)
            projected = basis.project_maps(maps)
        return projected.to(tensor.dtype).reshape(tensor.shape)

    def _mean(self, tensor: Tensor) -> Tensor:
        """Move whole maps, so that their means over the positions are projected."""
        with full_precision(tensor.device.type):
            basis = self._basis(tensor)
            maps = tensor.to(basis.mean.dtype)
            means = maps.flatten(2).mean(2)
            moved = basis.project(means) - means
            projected = maps + moved[(..., *[None] * (tensor.ndim - 2))]
        return projected.to(tensor.dtype)

    def _check(self, width: int) -> None:
        if width != self.directions.width:
            raise ShapeError(f"It has width {width}.")

    def _basis(self, tensor: Tensor) -> Basis:
        dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
        key = tensor.device, dtype
        basis = self._bases.get(key)
        if basis is None:
            basis = Basis.of(self.directions, self._dimension).to(*key)
            # What is made in a trace or a fake mode belongs to it.
            if not is_transformed():
                self._bases[key] = basis
        return basis


def check_projectable(layer: Layer, settings: Settings, *, where: str) -> None:
    """Refuse layers whose rows do not say how to change the output.

    Args:
        layer: The layer.
        settings: How its rows were taken.
        where: The function, for the message.

    Raises:
        ArgumentError: If a projection of the output is not defined.
    """
    name, asked = layer.facts.name, ""
    if map_axis(layer.module, 4) is not None:
        if settings.conv in ("max", "median"):
            asked = f'conv="{settings.conv}"'
        elif settings.conv != "positions" and settings.downsample is not None:
            asked = f'conv="{settings.conv}" with downsample={settings.downsample}'
        other = 'conv="positions"'
    elif isinstance(layer.module, nn.RNNBase) and settings.timesteps != "all":
        asked, other = f'timesteps="{settings.timesteps}"', 'timesteps="all"'
    if asked:
        raise ArgumentError(
            f"{where}: layer {name} must be measured on rows that make up its output, got "
            f'{asked}. Watch with {other}, or leave it out with layers=["*", "!{name}"].'
        )
