"""Loops of every shape: each call of the model counts once, in its phase, whatever surrounds it."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fathom
from comparison import assert_read

pytestmark = pytest.mark.regime("Modes")

Rows = dict[tuple[str, str], list[Tensor]]


def network(width: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 3))


def rows_of(model: nn.Module) -> Rows:
    """What the linear layers return from now on, by name and phase, by hooks of the test's own."""
    found: Rows = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            phase = "train" if model.training else "eval"
            found.setdefault((name, phase), []).append(output.detach().clone())

        return hook

    for name, part in model.named_modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(keep(name))
    return found


def assert_all_read(snapshot: fathom.Snapshot, found: Rows, **calls: int) -> None:
    """Compare every reading with the rows that were taken in so many calls of the model."""
    assert {phase: len(outputs) for (_, phase), outputs in found.items()} == calls
    for phase in ("train", "eval"):
        assert {(name, phase) for name in snapshot.phase(phase)} == {
            key for key in found if key[1] == phase
        }
    for (name, phase), outputs in found.items():
        rows = torch.cat(outputs).double().cpu().numpy()
        assert_read(snapshot.phase(phase)[name], rows, samples=len(rows))
        assert snapshot.phase(phase)[name].calls == len(outputs)


@pytest.mark.parametrize("every", [1, 3])
def test_every_micro_batch_counts_once_where_gradients_accumulate(every: int) -> None:
    model = network()
    found = rows_of(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    with fathom.watch(model, every=every, budget=None) as monitor:
        for _ in range(4):
            for count in (20, 20, 7):
                (model(torch.randn(count, 4)).square().mean() / 3).backward()
            optimiser.step()
            optimiser.zero_grad()
        snapshot = monitor.snapshot(0)
    observed = {key: outputs[::every] for key, outputs in found.items()}
    assert_all_read(snapshot, observed, train=12 // every)


@pytest.mark.parametrize(
    "modes",
    list(itertools.permutations([torch.enable_grad, torch.no_grad, torch.inference_mode])),
    ids=lambda modes: ", ".join(mode.__name__ for mode in modes),
)
def test_calls_with_and_without_gradients_mix_in_any_order(modes: tuple[Any, ...]) -> None:
    model = network()
    found = rows_of(model)
    with fathom.watch(model, budget=None) as monitor:
        for mode, training in itertools.product(modes, (True, False)):
            model.train(training)
            with mode():
                output = model(torch.randn(10, 4))
            if output.requires_grad:
                output.sum().backward()
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot, found, train=3, eval=3)


def test_an_evaluation_amid_a_step_is_told_apart_from_the_training() -> None:
    model = network()
    found = rows_of(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    with fathom.watch(model, budget=None) as monitor:
        for _ in range(3):
            loss = model.train()(torch.randn(20, 4)).square().sum()
            with torch.no_grad():
                model.eval()(torch.randn(30, 4) * 5)
            loss.backward()
            with torch.inference_mode():
                model(torch.randn(10, 4) * 5)
            optimiser.step()
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot, found, train=3, eval=6)


@pytest.mark.parametrize("every", [1, 2])
def test_a_model_called_twice_in_a_step_counts_both_calls(every: int) -> None:
    model = network()
    found = rows_of(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with fathom.watch(model, every=every, budget=None) as monitor:
        for _ in range(4):
            one, other = model(torch.randn(15, 4)), model(torch.randn(9, 4))
            (one.mean(0) - other.mean(0)).square().sum().backward()
            optimiser.step()
        snapshot = monitor.snapshot(0)
    observed = {key: outputs[::every] for key, outputs in found.items()}
    assert_all_read(snapshot, observed, train=8 // every)


def test_backward_passes_in_another_order_than_their_calls_add_nothing() -> None:
    model = network()
    found = rows_of(model)
    with fathom.watch(model, budget=None) as monitor:
        one, other = model(torch.randn(15, 4)).sum(), model(torch.randn(9, 4)).sum()
        other.backward(retain_graph=True)
        late = model(torch.randn(12, 4)).sum()
        for loss in (late, one, other):
            loss.backward()
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot, found, train=3)


def test_a_generator_and_a_critic_with_a_gradient_penalty_are_each_watched() -> None:
    generator, critic = network(2), network(3)
    models = (generator, critic)
    taken = [rows_of(model) for model in models]
    optimisers = [torch.optim.RMSprop(model.parameters(), lr=0.01) for model in models]
    with fathom.watch(generator, budget=None) as one, fathom.watch(critic, budget=None) as other:
        for _ in range(3):
            real = torch.randn(16, 3)
            with torch.no_grad():
                fake = generator(torch.randn(16, 2))
            between = (real + fake).div(2).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            penalty = (slope.norm(dim=1) - 1).square().mean()
            (critic(fake).mean() - critic(real).mean() + penalty).backward()
            optimisers[1].step()
            optimisers[0].zero_grad()
            critic(generator(torch.randn(16, 2))).mean().neg().backward()
            optimisers[0].step()
            optimisers[1].zero_grad()
        snapshots = one.snapshot(0), other.snapshot(0)
    assert_all_read(snapshots[0], taken[0], train=6)
    assert_all_read(snapshots[1], taken[1], train=12)


def test_an_optimiser_that_calls_the_model_several_times_a_step_counts_every_call() -> None:
    model, batch = network(), torch.randn(25, 4)
    found = rows_of(model)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss: Tensor = (model(batch) - batch[:, :3]).square().mean()
        loss.backward()
        return loss

    with fathom.watch(model, budget=None) as monitor:
        for _ in range(2):
            optimiser.step(closure)
        snapshot = monitor.snapshot(0)
    calls = len(found["0", "train"])
    assert calls > 4
    assert_all_read(snapshot, found, train=calls)


Attach = Callable[[Any, Callable[..., None]], object]
INSIDE: list[Attach] = [
    lambda model, call: model[0].weight.register_hook(call),
    lambda model, call: model[0].weight.register_post_accumulate_grad_hook(call),
    lambda model, call: model.register_full_backward_pre_hook(call),
    lambda model, call: model.register_full_backward_hook(call),
]


@pytest.mark.parametrize(
    "attach", INSIDE, ids=["gradient", "accumulated gradient", "before a module", "after a module"]
)
def test_a_call_inside_a_backward_pass_is_taken_for_recomputation(attach: Attach) -> None:
    model, other, batch = network(), network(), torch.randn(50, 4)
    found = rows_of(model)

    def call(*gradients: object) -> None:
        model(batch)
        other(batch)

    attach(model, call)
    with fathom.watch(model, budget=None) as monitor, fathom.watch(other, budget=None) as elsewhere:
        for _ in range(3):
            model(torch.randn(12, 4, requires_grad=True)).sum().backward()
        snapshot = monitor.snapshot(0)
        assert elsewhere.snapshot(0).unobserved == ("0", "2")
    outside = {key: outputs[::2] for key, outputs in found.items()}
    assert [len(outputs) for outputs in found.values()] == [6, 6]
    assert_all_read(snapshot, outside, train=3)


def test_a_function_with_a_gradient_of_its_own_counts_what_it_calls_forward() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Tensor) -> Tensor:
            return 2 * model(x)  # type: ignore[no-any-return]

        @staticmethod
        def backward(context: Any, *gradients: Tensor) -> Any:
            return (
                model(torch.randn(50, 4)).sum() * gradients[0] @ model[2].weight @ model[0].weight
            )

    model: Any = network()
    found = rows_of(model)
    with fathom.watch(model, budget=None) as monitor:
        for _ in range(2):
            Doubled.apply(torch.randn(12, 4, requires_grad=True)).sum().backward()  # type: ignore[no-untyped-call]
        snapshot = monitor.snapshot(0)
    assert [len(outputs) for outputs in found.values()] == [4, 4]
    assert_all_read(snapshot, {key: outputs[::2] for key, outputs in found.items()}, train=2)


def test_a_call_counts_while_another_thread_is_in_its_backward_pass() -> None:
    model = network()
    found = rows_of(model)
    inside, over = threading.Event(), threading.Event()

    def wait(gradient: Tensor) -> None:
        inside.set()
        assert over.wait(60)

    with fathom.watch(model, budget=None) as monitor:
        output = model(torch.randn(12, 4))
        output.register_hook(wait)
        backward = threading.Thread(target=output.sum().backward)
        backward.start()
        assert inside.wait(60)
        model(torch.randn(9, 4)).sum().backward()
        over.set()
        backward.join()
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot, found, train=2)


def test_threads_that_train_one_model_together_lose_no_row() -> None:
    model = network()
    found = rows_of(model)
    with fathom.watch(model, budget=None) as monitor:
        with ThreadPoolExecutor(8) as pool:
            batches = [torch.randn(5, 4) for _ in range(100)]
            list(pool.map(lambda batch: model(batch).sum().backward(), batches))
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot, found, train=100)


def test_every_observes_whole_calls_where_two_threads_overlap() -> None:
    class Waits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if threading.current_thread() is not threading.main_thread():
                inside.set()
                assert over.wait(60)
            return x

    model = nn.Sequential(nn.Linear(4, 8), Waits(), nn.Linear(8, 3))
    first = torch.randn(12, 4)
    inside, over = threading.Event(), threading.Event()
    with fathom.watch(model, every=2, budget=None) as monitor:
        call = threading.Thread(target=model, args=(first,))
        call.start()
        assert inside.wait(60)
        model(torch.randn(9, 4))
        over.set()
        call.join()
        snapshot = monitor.snapshot(0)
    found = rows_of(model)
    model(first)
    assert_all_read(snapshot, found, train=1)
