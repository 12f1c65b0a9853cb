"""Models with something put around or in place of their layers are read by what each returns."""

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

import fathom
from comparison import assert_read

pytestmark = pytest.mark.regime("Copies and wrappers")

Rows = dict[str, list[Tensor]]


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def rows_of(model: nn.Module, names: list[str]) -> Rows:
    """What layers return from now on, by hooks of the test's own."""
    found: Rows = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, args, output: found.setdefault(name, []).append(output.clone())

    for name in names:
        model.get_submodule(name).register_forward_hook(keep(name))
    return found


def assert_all_read(readings: dict[str, fathom.Reading], found: Rows, *, calls: int) -> None:
    assert readings.keys() == found.keys()
    for name, outputs in found.items():
        rows = torch.cat(outputs).flatten(0, -2).detach().double().cpu().numpy()
        assert_read(readings[name], rows, samples=sum(map(len, outputs)))
        assert readings[name].calls == len(outputs) == calls


def train(model: nn.Module) -> None:
    torch.manual_seed(1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for count in (20, 30, 10):
        optimiser.zero_grad()
        model(torch.randn(count, 4)).square().sum().backward()
        optimiser.step()


MADE_OF_OTHERS: dict[str, Callable[[Any], object]] = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned by features": lambda layer: prune.ln_structured(layer, "weight", 0.5, n=2, dim=0),
}


@pytest.mark.parametrize("name", MADE_OF_OTHERS)
@pytest.mark.parametrize("when", ["before watch", "after watch"])
def test_a_layer_whose_weight_is_made_of_others_is_read_and_trains_the_same(
    name: str, when: str
) -> None:
    def wrap(model: Any) -> None:
        torch.manual_seed(2)
        MADE_OF_OTHERS[name](model[0])

    model, twin = network(), network()
    if when == "before watch":
        wrap(model)
    with fathom.watch(model, budget=None) as monitor:
        if when == "after watch":
            wrap(model)
        train(model)
        snapshot = monitor.snapshot(0)
    wrap(twin)
    found = rows_of(twin, ["0", "2"])
    train(twin)
    assert_all_read(snapshot.train, found, calls=3)
    states = model.state_dict(), twin.state_dict()
    assert states[0].keys() == states[1].keys() != network().state_dict().keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


# On one thread, a Conv3d returns maps that are not.
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("space", [(5, 6), (4, 5, 4)], ids=["2d", "3d"])
@pytest.mark.parametrize("downsample", [None, 2])
@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
def test_maps_with_channels_last_in_memory_are_read_by_every_method(
    method: str, downsample: int | None, space: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    make: Any = nn.Conv2d if len(space) == 2 else nn.Conv3d
    last: Any = torch.channels_last if len(space) == 2 else torch.channels_last_3d
    model: Any = nn.Sequential(make(3, 3, 2), nn.ReLU(inplace=True), make(3, 2, 1))
    model.to(memory_format=last)
    images = torch.randn(12, 3, *space).to(memory_format=last)
    with fathom.watch(model, conv=method, downsample=downsample, budget=None) as monitor:
        found = rows_of(model, ["0", "2"])
        model(images)
        readings = monitor.snapshot(0).train
    for name, (maps,) in found.items():
        assert maps.is_contiguous(memory_format=last)
        maps = maps.detach().contiguous().double()
        if downsample is not None:
            mode = "bilinear" if len(space) == 2 else "trilinear"
            maps = functional.interpolate(maps, size=(2,) * len(space), mode=mode)
        values = maps.flatten(2).cpu().numpy()
        rows = {
            "positions": np.moveaxis(values, 1, 2).reshape(-1, values.shape[1]),
            "mean": values.mean(axis=2),
            "max": values.max(axis=2),
            "median": np.median(values, axis=2),
            "flatten": values.reshape(12, -1),
        }[method]
        assert_read(readings[name], rows, samples=12)


@pytest.mark.parametrize("average", ["AveragedModel", "deepcopy"])
def test_an_average_of_weights_is_watched_apart_from_the_model(average: str) -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        if average == "deepcopy":
            averaged = copy.deepcopy(model)
        else:
            function = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
            averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=function)
        found = rows_of(model, ["0", "2"])
        with fathom.watch(averaged, budget=None) as apart:
            found_apart = rows_of(averaged, apart.layers)
            for _ in range(3):
                train(model)
                if average == "deepcopy":
                    for mine, its in zip(averaged.parameters(), model.parameters(), strict=True):
                        mine.data.lerp_(its.data, 0.1)
                else:
                    averaged.update_parameters(model)
                with torch.no_grad():
                    averaged.eval()(torch.randn(40, 4))
            snapshots = monitor.snapshot(0), apart.snapshot(0)
    assert_all_read(snapshots[0].train, found, calls=9)
    assert_all_read(snapshots[1].eval, found_apart, calls=3)
    assert snapshots[0].eval == snapshots[1].train == {}


@pytest.mark.parametrize("watched", ["model", "parallel"])
def test_a_data_parallel_model_is_read_under_the_names_of_its_own(watched: str) -> None:
    model = network()
    parallel = nn.DataParallel(model)
    with fathom.watch(model if watched == "model" else parallel, budget=None) as monitor:
        found = rows_of(model, ["0", "2"])
        train(parallel)
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot.train, found, calls=3)


class Tokens(nn.Module):
    """Waits until all replicas are in their calls."""

    def __init__(self, barrier: threading.Barrier) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.barrier = barrier

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        self.barrier.wait(60)
        output: Tensor = self.layer(x)
        self.barrier.wait(60)
        return output


def replica(module: nn.Module) -> Any:
    """One replica of `nn.DataParallel`, which makes them on GPUs alone."""
    twin = module._replicate_for_data_parallel()
    for name, parameter in module.named_parameters(recurse=False):
        setattr(twin, name, parameter.clone())
    twin._modules = {name: replica(child) for name, child in module.named_children()}
    return twin


def test_replicas_in_threads_count_each_by_its_own_mask() -> None:
    torch.manual_seed(0)
    model = Tokens(threading.Barrier(3))
    batches = torch.randn(6, 7, 5, 3)
    masks = (torch.arange(5) < torch.randint(1, 6, (6, 7))[..., None]).long()
    with fathom.watch(model, budget=None) as monitor, ThreadPoolExecutor(3) as pool:
        for step in (slice(0, 3), slice(3, 6)):
            calls = [partial(replica(model), attention_mask=mask) for mask in masks[step]]
            list(pool.map(lambda call, x: call(x), calls, batches[step]))
        reading = monitor.snapshot(0).train["layer"]
    rows = model.layer(batches[masks.bool()]).detach().double().cpu().numpy()
    assert_read(reading, rows, samples=7 * 6)
    assert reading.calls == 6


def test_a_module_put_in_the_place_of_a_watched_one_is_not_watched_and_that_is_told() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model[0] = nn.Linear(4, 8)
        found = rows_of(model, ["2"])
        train(model)
        snapshot = monitor.snapshot(0)
    assert snapshot.unobserved == ("0",)
    assert_all_read(snapshot.train, found, calls=3)


def test_layers_that_share_a_weight_are_each_read_by_their_own_rows() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.body = nn.Embedding(20, 6), nn.Linear(6, 6)
            self.head, self.back = nn.Linear(6, 20, bias=False), nn.Linear(6, 6)
            self.head.weight, self.back.weight = self.embed.weight, self.body.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.back(self.body(self.embed(tokens)).tanh()))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = Tied()
    with fathom.watch(model, layers=["*", "embed"], budget=None) as monitor:
        found = rows_of(model, ["embed", "body", "back", "head"])
        for count in (30, 50):
            model(torch.randint(20, (count, 7))).sum().backward()
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot.train, found, calls=2)
    assert {reading.layer.aliases for reading in snapshot.train.values()} == {()}


@pytest.fixture
def fresh_state() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_state")
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("when", ["before watch", "after watch"])
def test_a_model_that_accelerate_prepares_is_read(
    precision: str, when: str, device: torch.device
) -> None:
    accelerator = accelerate.Accelerator(
        cpu=device.type == "cpu", mixed_precision=precision, gradient_accumulation_steps=2
    )
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    if when == "before watch":
        model, optimiser = accelerator.prepare(model, optimiser)
    with fathom.watch(model, budget=None) as monitor:
        if when == "after watch":
            model, optimiser = accelerator.prepare(model, optimiser)
        found = rows_of(accelerator.unwrap_model(model), ["0", "2"])
        for _ in range(4):
            with accelerator.accumulate(model):
                output = model(torch.randn(25, 4, device=accelerator.device))
                accelerator.backward(output.square().sum())
                optimiser.step()
                optimiser.zero_grad()
        snapshot = monitor.snapshot(0)
    assert found["0"][0].dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert_all_read(snapshot.train, found, calls=4)


def test_weights_that_are_fetched_for_each_call_are_read(device: torch.device) -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        accelerate.cpu_offload(model, execution_device=device)
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
        found = rows_of(model, ["0", "2"])
        for count in (20, 30):
            model(torch.randn(count, 4))
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot.train, found, calls=2)
