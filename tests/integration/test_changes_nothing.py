"""Watching changes nothing: training is bit-identical, and nothing stays on the model."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fathom


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(6, 8, num_layers=2, dropout=0.2, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        classes: Tensor = self.head(self.memory(x.flatten(1).unflatten(1, (6, 6)))[0].mean(1))
        return classes


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        classes: Tensor = self.head(self.encoder(x.flatten(1).unflatten(1, (6, 6))).mean(1))
        return classes


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.2),
        nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(32, 3),
    )


MODELS = [
    pytest.param(convolutional, id="convolutional"),
    pytest.param(Recurrent, id="recurrent"),
    pytest.param(Transformer, id="transformer"),
]
Make = Callable[[], nn.Module]


def hooks_on(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def wide() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 600), nn.Dropout(0.2), nn.Linear(600, 3))


def train(
    make: Make, options: dict[str, Any] | None, steps: int = 50, window: int = 1
) -> dict[str, Any]:
    """Train with dropout, batch norm and Adam; watched, unless `options` is None."""
    torch.manual_seed(0)
    np.random.seed(0)
    model = make()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = None if options is None else fathom.watch(model, **{"budget": None, **options})
    losses = []
    for step in range(steps):
        model.train()
        images, labels = torch.randn(16, 1, 6, 6), torch.randint(3, (16,))
        loss = functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.eval()
        with torch.no_grad():
            held_out = functional.cross_entropy(model(images), labels)
        losses += [loss.item(), held_out.item()]
        if monitor is not None and (step + 1) % window == 0:
            snapshot = monitor.snapshot(step=step, loss=loss.item())
            assert snapshot.unobserved == ()
            assert len(snapshot.train) == len(snapshot.eval) == len(monitor.layers)
    if monitor is not None:
        monitor.close()
    return {
        "losses": losses,
        "state": model.state_dict(),
        "gradients": {name: value.grad for name, value in model.named_parameters()},
        "optimiser": optimiser.state_dict(),
        "random": (torch.get_rng_state(), np.random.get_state(legacy=True)),
    }


def assert_identical(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        assert np.array_equal(one, other)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_identical(left, right)
    else:
        assert one == other


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads of small products wait for one another where other work has the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("make", MODELS)
def test_training_is_bit_identical_with_and_without_a_monitor(make: Make) -> None:
    without = train(make, None)
    assert_identical(train(make, {"statistics": ["rankme"]}), without)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "options",
    [
        {"conv": "median", "downsample": 2},
        {"conv": "flatten"},
        {"layers": ["0"], "max_samples": 7},
    ],
)
def test_training_is_bit_identical_however_it_is_watched(options: dict[str, Any]) -> None:
    assert_identical(train(convolutional, options, steps=8), train(convolutional, None, steps=8))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("make", [*MODELS, pytest.param(wide, id="sketched")])
def test_training_is_bit_identical_within_a_budget(make: Make) -> None:
    without = train(make, None)
    assert_identical(train(make, {"budget": 0.02, "max_width": 1}, window=25), without)


@pytest.mark.parametrize("make", MODELS)
def test_no_attribute_is_set_on_any_module(make: Make) -> None:
    model = make()

    def attributes() -> dict[str, dict[str, Any]]:
        ours = (
            "_forward_hooks",
            "_forward_hooks_always_called",
            "_forward_pre_hooks",
            "_forward_pre_hooks_with_kwargs",
        )
        return {
            name: {key: None if key in ours else repr(value) for key, value in vars(part).items()}
            for name, part in model.named_modules()
        }

    before, state = attributes(), list(model.state_dict())
    with fathom.watch(model, every=2, budget=None) as monitor:
        assert attributes() == before
        assert list(model.state_dict()) == state
        model.eval()
        model(torch.randn(4, 1, 6, 6))
        model.train()
        monitor.snapshot(step=0)
        assert attributes() == before
        assert list(model.state_dict()) == state
    assert attributes() == before
    assert list(model.state_dict()) == state
    assert hooks_on(model) == 0


def test_no_hook_is_left_after_an_exception() -> None:
    model = convolutional()

    def train() -> None:
        with fathom.watch(model, layers=["4"], every=2, budget=None):
            model(torch.randn(4, 1, 6, 6))
            assert hooks_on(model) > 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert hooks_on(model) == 0


def test_an_exception_in_the_model_comes_through_and_watching_goes_on() -> None:
    model = convolutional()
    with fathom.watch(model, every=2, budget=None) as monitor:
        with pytest.raises(RuntimeError, match="expected input"):
            model(torch.randn(4, 3, 6, 6))
        for _ in range(2):
            model(torch.randn(4, 1, 6, 6))
        # The call that failed was the first of the model, so the third is observed.
        assert monitor.snapshot(step=0).train["9"].rows == 4


def test_hooks_of_others_stay() -> None:
    model = nn.Linear(3, 3)
    calls: list[int] = []
    model.register_forward_hook(lambda module, args, output: calls.append(1))
    with fathom.watch(model, budget=None):
        model(torch.randn(2, 3))
    model(torch.randn(2, 3))
    assert len(calls) == 2
    assert hooks_on(model) == 1


def test_outputs_are_unchanged_and_no_gradient_flows_into_fathom() -> None:
    torch.manual_seed(1)
    model = convolutional().eval()
    twin = copy.deepcopy(model)
    images = torch.randn(6, 1, 6, 6)
    with fathom.watch(model, budget=None) as monitor:
        output, expected = model(images), twin(images)
        assert torch.equal(output, expected)
        output.square().sum().backward()
        expected.square().sum().backward()
        snapshot = monitor.snapshot(step=0)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)
    assert not any(reading.eigenvalues.requires_grad for reading in snapshot.eval.values())
