"""Linear and convolutional layers end to end: what fathom reads is what the outputs hold."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fathom
import reference
from comparison import assert_read


def rows_of_maps(maps: Tensor, method: str = "positions") -> reference.Array:
    """The rows of (b, c, *space), one image and one position at a time."""
    reductions: dict[str, Callable[..., Any]] = {
        "mean": np.mean,
        "max": np.max,
        "median": np.median,
    }
    rows: list[reference.Array] = []
    for image in maps.detach().numpy().astype(np.float64):
        channels = image.reshape(len(image), -1)
        if method == "positions":
            rows.extend(channels[:, position] for position in range(channels.shape[1]))
        elif method == "flatten":
            rows.append(image.ravel())
        else:
            rows.append(np.array([reductions[method](channel) for channel in channels]))
    return np.stack(rows)


def resized(maps: reference.Array, size: int) -> reference.Array:
    """Linear interpolation to at most `size` positions a side, with the corners not aligned."""
    for axis in range(2, maps.ndim):
        length = maps.shape[axis]
        if length <= size:
            continue
        place = (np.arange(size) + 0.5) * length / size - 0.5
        below = np.floor(place).clip(0).astype(int)
        above = (below + 1).clip(max=length - 1)
        shape = [1] * maps.ndim
        shape[axis] = size
        share = (place.clip(0) - below).reshape(shape)
        maps = maps.take(below, axis) * (1 - share) + maps.take(above, axis) * share
    return maps


def show(model: nn.Module, inputs: Sequence[Tensor], **options: Any) -> fathom.Snapshot:
    """Watch a model in train mode through some calls."""
    with fathom.watch(model, **options, budget=None) as monitor:
        for each in inputs:
            model(each)
        return monitor.snapshot(step=0)


@pytest.mark.parametrize(
    ("leading", "samples"),
    [((), 1), ((40,), 40), ((7, 5), 7), ((3, 4, 5), 3), ((2, 3, 2, 4), 2)],
)
def test_every_leading_position_of_a_linear_layer_is_a_row(
    leading: tuple[int, ...], samples: int
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 9)
    inputs = [torch.randn(*leading, 6) for _ in range(3)]
    rows = np.concatenate([layer(each).detach().numpy().reshape(-1, 9) for each in inputs])
    snapshot = show(nn.Sequential(layer), inputs)
    assert_read(snapshot.train["0"], rows, samples=3 * samples)
    assert snapshot.train["0"].calls == 3


def test_rows_are_taken_before_the_activation_function() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(5, 8)
    inputs = torch.randn(60, 5)
    rows = layer(inputs).detach().numpy()
    snapshot = show(nn.Sequential(layer, nn.ReLU()), [inputs])
    assert list(snapshot.train) == ["0"]
    assert_read(snapshot.train["0"], rows, samples=60)


CONVOLUTIONS = [
    pytest.param(nn.Conv1d(2, 5, 3), (11,), id="Conv1d"),
    pytest.param(nn.Conv2d(2, 5, 3, stride=2), (9, 7), id="Conv2d"),
    pytest.param(nn.Conv3d(2, 5, 2), (4, 5, 3), id="Conv3d"),
    pytest.param(nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 4), id="grouped"),
    pytest.param(nn.ConvTranspose1d(2, 5, 3, stride=2), (6,), id="ConvTranspose1d"),
    pytest.param(nn.ConvTranspose2d(2, 5, 2), (4, 3), id="ConvTranspose2d"),
    pytest.param(nn.ConvTranspose3d(2, 5, 2), (2, 3, 2), id="ConvTranspose3d"),
]


@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
@pytest.mark.parametrize(("layer", "space"), CONVOLUTIONS)
def test_rows_of_a_convolution(
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, space: tuple[int, ...], method: str
) -> None:
    torch.manual_seed(1)
    inputs = [torch.randn(n, layer.in_channels, *space) for n in (12, 7)]
    rows = np.concatenate([rows_of_maps(layer(each), method) for each in inputs])
    snapshot = show(nn.Sequential(layer), inputs, conv=method)
    assert_read(snapshot.train["0"], rows, samples=19)
    assert snapshot.train["0"].layer.kind == "convolution"


@pytest.mark.parametrize("method", ["positions", "median"])
def test_a_single_image_without_a_batch_is_one_sample(method: str) -> None:
    torch.manual_seed(2)
    layer = nn.Conv2d(2, 4, 3)
    images = [torch.randn(2, 6, 6) for _ in range(8)]
    rows = np.concatenate([rows_of_maps(layer(image)[None], method) for image in images])
    snapshot = show(nn.Sequential(layer), images, conv=method)
    assert_read(snapshot.train["0"], rows, samples=8)


def test_the_median_of_an_even_number_of_positions_lies_between_the_two_in_the_middle() -> None:
    layer = nn.Conv1d(1, 1, 1)
    nn.init.constant_(layer.weight, 1.0)
    nn.init.zeros_(nn.Module.get_parameter(layer, "bias"))
    maps = torch.tensor([[[1.0, 2.0, 4.0, 9.0]], [[0.0, 0.0, 0.0, 5.0]]])
    snapshot = show(nn.Sequential(layer), [maps], conv="median")
    # The medians are 3 and 0: variance (1.5)² with divisor n.
    assert float(snapshot.train["0"].eigenvalues[0]) == pytest.approx(2.25)


@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
@pytest.mark.parametrize(
    ("layer", "space"),
    [
        pytest.param(nn.Conv1d(2, 3, 2), (12,), id="1d"),
        pytest.param(nn.Conv2d(2, 3, 2), (9, 4), id="2d"),
        pytest.param(nn.Conv3d(2, 3, 2), (6, 3, 7), id="3d"),
    ],
)
def test_downsample_reduces_larger_maps_only(
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, space: tuple[int, ...], method: str
) -> None:
    torch.manual_seed(3)
    inputs = torch.randn(40, 2, *space)
    maps = resized(layer(inputs).detach().double().numpy(), 3)
    assert max(maps.shape[2:]) == 3
    snapshot = show(nn.Sequential(layer), [inputs], conv=method, downsample=3)
    rows = rows_of_maps(torch.from_numpy(maps), method)
    assert_read(snapshot.train["0"], rows, samples=40)


def test_downsample_leaves_smaller_maps_as_they_are() -> None:
    torch.manual_seed(4)
    layer = nn.Conv2d(2, 4, 3)
    inputs = torch.randn(10, 2, 6, 5)
    snapshot = show(nn.Sequential(layer), [inputs], downsample=4)
    assert_read(snapshot.train["0"], rows_of_maps(layer(inputs)), samples=10)


def test_channels_last_memory_changes_nothing() -> None:
    torch.manual_seed(5)
    layer = nn.Conv2d(3, 7, 3)
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    inputs = torch.randn(9, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert layer(inputs).is_contiguous(memory_format=torch.channels_last)
    rows = rows_of_maps(layer(inputs))
    assert_read(show(nn.Sequential(layer), [inputs]).train["0"], rows, samples=9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_of_numbers(dtype: torch.dtype) -> None:
    torch.manual_seed(6)
    layer = nn.Conv2d(2, 6, 2).to(dtype)
    inputs = torch.randn(8, 2, 5, 5, dtype=dtype)
    rows = rows_of_maps(layer(inputs).detach().double())
    assert_read(show(nn.Sequential(layer), [inputs]).train["0"], rows, samples=8)


def test_lazy_layers_are_watched_before_their_width_is_known() -> None:
    torch.manual_seed(7)
    model = nn.Sequential(
        nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(6), nn.ReLU(), nn.Linear(6, 2)
    )
    images = torch.randn(30, 2, 5, 5)
    snapshot = show(model, [images])
    maps = model[0](images)
    assert_read(snapshot.train["0"], rows_of_maps(maps), samples=30)
    hidden = model[2](maps.flatten(1)).detach().numpy()
    assert_read(snapshot.train["2"], hidden, samples=30)
    assert snapshot.train["2"].layer.kind == "linear"
    assert snapshot.train["2"].layer.width == 6


def test_a_layer_that_is_the_model_itself() -> None:
    torch.manual_seed(8)
    layer = nn.Linear(4, 6)
    inputs = torch.randn(50, 4)
    snapshot = show(layer, [inputs])
    assert_read(snapshot.train[""], layer(inputs).detach().numpy(), samples=50)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.branches = nn.ModuleDict({"left": nn.Linear(width, 3), "right": nn.Linear(width, 5)})

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = tokens + self.project(tokens)
        return torch.cat([self.branches["left"](hidden), self.branches["right"](hidden)], -1)


def test_names_are_the_qualified_names_of_the_model() -> None:
    torch.manual_seed(9)
    model = nn.Sequential()
    model.add_module("stem", nn.Linear(4, 8))
    model.add_module("blocks", nn.ModuleList([Block(8)])[0])
    names = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    snapshot = show(model, [torch.randn(6, 5, 4)])
    assert list(snapshot.train) == names
    assert names == ["stem", "blocks.project", "blocks.branches.left", "blocks.branches.right"]


def test_readings_lie_in_execution_order() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 2)
            self.middle = nn.Linear(4, 4)
            self.first = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            classes: Tensor = self.last(self.middle(self.first(x)))
            return classes

    assert list(show(Backwards(), [torch.randn(5, 4)]).train) == ["first", "middle", "last"]


def test_train_and_eval_are_told_apart_by_the_root_not_by_a_frozen_part() -> None:
    torch.manual_seed(10)
    layer = nn.Linear(4, 6)
    model = nn.Sequential(nn.Sequential(layer, nn.Dropout(0.5)), nn.Linear(6, 3))
    batches = {"train": torch.randn(3, 20, 4), "eval": torch.randn(2, 30, 4) * 5}
    with fathom.watch(model, budget=None) as monitor:
        for train_batch, eval_batch in zip(batches["train"], [*batches["eval"], None], strict=True):
            model.train()
            model[0].eval()
            model(train_batch)
            if eval_batch is not None:
                model.eval()
                model[1].train()
                model(eval_batch)
        snapshot = monitor.snapshot(step=0)
    for phase, batch in batches.items():
        rows = layer(batch).detach().numpy().reshape(-1, 6)
        reading = snapshot.phase(phase)["0.0"]
        assert_read(reading, rows, samples=len(rows))
        assert reading.phase == phase
        assert reading.calls == len(batch)
    assert snapshot.train["1"].rows == snapshot.eval["1"].rows == 60
