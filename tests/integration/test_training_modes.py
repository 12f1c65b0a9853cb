"""Modes that torch may run in: each call counts as it was made, and the mode is undisturbed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.nn.utils import stateless
from torch.utils.flop_counter import FlopCounterMode

import fathom
from comparison import assert_read

pytestmark = pytest.mark.regime("Modes")

# Torch scripts some rules of its own when it first differentiates forward.
BY_SCRIPT = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def rows_of(weights: Sequence[Tensor], batch: Tensor) -> dict[str, Tensor]:
    """What the two layers return, from their weights alone, which fathom cannot see."""
    with torch.no_grad():
        hidden = functional.linear(batch, weights[0], weights[1])
        return {"0": hidden, "2": functional.linear(hidden.tanh(), weights[2], weights[3])}


def assert_all_read(monitor: fathom.Monitor, calls: list[dict[str, Tensor]]) -> None:
    snapshot = monitor.snapshot(step=0)
    assert (snapshot.unobserved, snapshot.disabled, snapshot.eval) == ((), {}, {})
    for name in ("0", "2"):
        rows = torch.cat([call[name] for call in calls]).double().cpu().numpy()
        assert_read(snapshot.train[name], rows, samples=len(rows))
        assert snapshot.train[name].calls == len(calls)


@contextmanager
def set_for_a_while(setter: Callable[[Any], None], value: Any, before: Any) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(before)


def test_steps_that_a_gradient_scaler_skips_count_too(device: torch.device) -> None:
    model = network()
    weights = list(model.parameters())
    optimiser = torch.optim.SGD(weights, lr=0.1)
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**20)
    calls, scales = [], []
    with fathom.watch(model, budget=None) as monitor:
        for _ in range(8):
            batch = torch.randn(40, 4)
            with torch.autocast(device.type, torch.float16):
                calls.append(rows_of(weights, batch))
            with torch.autocast(device.type, torch.float16):
                loss = model(batch).square().mean()
            optimiser.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
            scales.append(scaler.get_scale())
        assert_all_read(monitor, calls)
    # Some steps were skipped and some were not.
    assert 1 < len(set(scales)) < 8


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
def test_the_detection_of_anomalies_changes_no_number() -> None:
    gradients = []
    for watched in (False, True):
        model, batch = network(), torch.linspace(-2, 2, 100).reshape(25, 4)
        monitor = fathom.watch(model, budget=None) if watched else None
        with torch.autograd.detect_anomaly():
            model(batch).square().sum().backward()
        gradients.append(torch.cat([each.grad.flatten() for each in model.parameters()]))  # type: ignore[union-attr]
        if monitor is not None:
            assert_all_read(monitor, [rows_of(list(model.parameters()), batch)])
    assert torch.equal(*gradients)


@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
def test_deterministic_algorithms_give_the_same_numbers(method: str) -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(2, 5, 3), torch.randn(30, 2, 6, 6)
    maps = layer(images).detach().double().cpu().numpy().reshape(30, 5, 16)
    rows = {
        "positions": np.moveaxis(maps, 1, 2).reshape(-1, 5),
        "mean": maps.mean(axis=2),
        "max": maps.max(axis=2),
        "median": np.median(maps, axis=2),
        "flatten": maps.reshape(30, 80),
    }[method]
    before = torch.are_deterministic_algorithms_enabled()
    with set_for_a_while(torch.use_deterministic_algorithms, True, before):
        with fathom.watch(layer, conv=method, budget=None) as monitor:
            layer(images).sum().backward()
            reading = monitor.snapshot(0).train[""]
        assert torch.are_deterministic_algorithms_enabled()
    assert_read(reading, rows, samples=30)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_another_default_type_of_numbers_changes_none(dtype: torch.dtype) -> None:
    with set_for_a_while(torch.set_default_dtype, dtype, torch.get_default_dtype()):
        model, batches = network(), [torch.randn(count, 4) for count in (30, 50)]
        with fathom.watch(model, budget=None) as monitor:
            for batch in batches:
                assert model(batch).dtype == dtype
            assert_all_read(monitor, [rows_of(list(model.parameters()), each) for each in batches])


TRANSFORMS: dict[str, Callable[[Any, Tensor], object]] = {
    "jvp": lambda model, x: torch.func.jvp(model, (x,), (x,)),
    "vjp": torch.func.vjp,
    "jacrev": lambda model, x: torch.func.jacrev(model)(x),
    "jacfwd": lambda model, x: torch.func.jacfwd(model)(x),
    "hessian": lambda model, x: torch.func.hessian(lambda y: model(y).sum())(x),
    "vmap": lambda model, x: torch.func.vmap(model)(x),
}


@BY_SCRIPT
@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("every", [1, 2])
def test_function_transforms_are_no_calls_of_the_model(name: str, every: int) -> None:
    model, batches = network(), [torch.randn(count, 4) for count in (30, 50, 20)]
    with fathom.watch(model, every=every, budget=None) as monitor:
        for batch in batches:
            TRANSFORMS[name](model, torch.randn(2, 4))
            model(batch)
        observed = batches[::every]
        assert_all_read(monitor, [rows_of(list(model.parameters()), each) for each in observed])


DERIVATIVES: dict[str, Callable[[Any, Tensor], object]] = {
    "jacobian": torch.autograd.functional.jacobian,
    "jacobian at once": lambda f, x: torch.autograd.functional.jacobian(f, x, vectorize=True),
    "vjp": lambda f, x: torch.autograd.functional.vjp(f, x, torch.ones(30, 3)),
    "jvp": lambda f, x: torch.autograd.functional.jvp(f, x, x),
    "hvp": lambda f, x: torch.autograd.functional.hvp(lambda y: f(y).sum(), x, x),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_a_derivative_by_autograd_is_one_call_of_the_model(name: str) -> None:
    model, batch = network(), torch.randn(30, 4)
    with fathom.watch(model, budget=None) as monitor:
        DERIVATIVES[name](model, batch)
        assert_all_read(monitor, [rows_of(list(model.parameters()), batch)])


@BY_SCRIPT
def test_dual_numbers_count_by_their_first_part_and_keep_their_second() -> None:
    model, batch, other = network(), torch.randn(30, 4), torch.randn(20, 4)
    with fathom.watch(model, budget=None) as monitor:
        tangents = []
        for active in (True, False):
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(batch, torch.ones(30, 4))
                if not active:
                    monitor.pause()
                tangents.append(forward_ad.unpack_dual(model(dual)).tangent)
                monitor.resume()
        model(other).sum().backward()
        weights = list(model.parameters())
        assert_all_read(monitor, [rows_of(weights, batch), rows_of(weights, other)])
    assert torch.equal(*tangents)


@pytest.mark.parametrize(
    "call",
    [torch.func.functional_call, stateless.functional_call],
    ids=["torch.func", "torch.nn.utils.stateless"],
)
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.stateless.functional_call`:FutureWarning")
def test_a_call_with_other_weights_counts_with_these(call: Callable[..., Any]) -> None:
    model, batch = network(), torch.randn(30, 4)
    weights = {name: torch.randn_like(each) for name, each in model.named_parameters()}
    with fathom.watch(model, budget=None) as monitor:
        output = call(model, weights, (batch,))
        model(batch)
        calls = [rows_of(list(each), batch) for each in (weights.values(), model.parameters())]
        assert_all_read(monitor, calls)
    assert torch.equal(output, calls[0]["2"])


def test_a_counter_of_operations_counts_those_of_the_model_alone() -> None:
    model, batch = network(), torch.randn(30, 4)
    counted = []
    for watched in (False, True):
        monitor = fathom.watch(model, budget=None) if watched else None
        with FlopCounterMode(display=False) as counter:
            model(batch).sum().backward()
        counted.append(counter.get_flop_counts())
        if monitor is not None:
            assert_all_read(monitor, [rows_of(list(model.parameters()), batch)])
    assert counted[0] == counted[1]


def test_tensors_saved_for_the_backward_pass_are_those_of_the_model_alone() -> None:
    model, batch = network(), torch.randn(30, 4)
    saved: dict[bool, list[torch.Size]] = {True: [], False: []}
    for watched, shapes in saved.items():
        monitor = fathom.watch(model, budget=None) if watched else None

        def pack(tensor: Tensor, shapes: list[torch.Size] = shapes) -> Tensor:
            shapes.append(tensor.shape)
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            model(batch).square().sum().backward()
        if monitor is not None:
            assert_all_read(monitor, [rows_of(list(model.parameters()), batch)])
            monitor.close()
    assert saved[True] == saved[False] != []
