"""Activation checkpointing: a layer that the backward pass calls once more counts once."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    checkpoint_wrapper,
)
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)

import fathom
from comparison import assert_read

pytestmark = pytest.mark.regime("Checkpointing")

Way = Callable[[nn.Sequential, Tensor], Tensor]
"""How a block is run."""

MATMULS = [torch.ops.aten.mm.default, torch.ops.aten.addmm.default]


def save_matmuls(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    if operator in MATMULS:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


def selective(policy: Any) -> Way:
    contexts = partial(create_selective_checkpoint_contexts, policy)
    return partial(checkpoint, use_reentrant=False, context_fn=contexts)


def in_two_parts(block: nn.Sequential, x: Tensor, *, use_reentrant: bool) -> Tensor:
    return checkpoint_sequential(block, 2, x, use_reentrant=use_reentrant)  # type: ignore[no-any-return]


def nested(block: nn.Sequential, x: Tensor, *, use_reentrant: bool) -> Tensor:
    def whole(y: Tensor) -> Any:
        return block[2:](checkpoint(block[:2], y, use_reentrant=use_reentrant))

    return checkpoint(whole, x, use_reentrant=use_reentrant)  # type: ignore[no-any-return]


def to_the_end(block: nn.Sequential, x: Tensor) -> Tensor:
    with set_checkpoint_early_stop(False):
        return checkpoint(block, x, use_reentrant=False)  # type: ignore[no-any-return]


KINDS = [
    pytest.param(partial(checkpoint, use_reentrant=True), id="reentrant"),
    pytest.param(partial(checkpoint, use_reentrant=False), id="not reentrant"),
]
WAYS = [
    *KINDS,
    pytest.param(to_the_end, id="without early stop"),
    pytest.param(selective(save_matmuls), id="selective by a policy"),
    pytest.param(selective(MATMULS), id="selective by operators"),
    pytest.param(partial(in_two_parts, use_reentrant=True), id="sequential reentrant"),
    pytest.param(partial(in_two_parts, use_reentrant=False), id="sequential not reentrant"),
    pytest.param(partial(nested, use_reentrant=True), id="nested reentrant"),
    pytest.param(partial(nested, use_reentrant=False), id="nested not reentrant"),
]


class Net(nn.Module):
    """Two blocks that are checkpointed and a head that is not; no bias, as in a Llama."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(6, 9, bias=False),
                nn.Tanh(),
                nn.Dropout(0.3),
                nn.Linear(9, 6, bias=False),
                nn.Tanh(),
            )
            for _ in range(2)
        )
        self.head = nn.Linear(6, 3)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.way(block, x)  # type: ignore[arg-type]
        return self.head(x)  # type: ignore[no-any-return]


def plain(block: nn.Module, x: Tensor) -> Tensor:
    return block(x)  # type: ignore[no-any-return]


def net(way: Way) -> Net:
    torch.manual_seed(0)
    return Net(way)


def batches() -> list[Tensor]:
    """Three batches; what is dropped out in calls with them is the same each time too."""
    torch.manual_seed(1)
    return [torch.randn(count, 5, 6, requires_grad=True) for count in (4, 7, 3)]


def train(model: nn.Module) -> None:
    for batch in batches():
        model(batch).square().sum().backward()


def watched(model: nn.Module, run: Callable[[nn.Module], None], **options: Any) -> fathom.Snapshot:
    with fathom.watch(model, **options, budget=None) as monitor:
        run(model)
        return monitor.snapshot(step=0)


def assert_each_row_once(
    readings: Mapping[str, fathom.Reading], run: Callable[[nn.Module], None], *, every: int = 1
) -> None:
    """Compare with a twin that is not checkpointed, whose rows are taken while it runs the same."""
    twin, found = net(plain), dict[str, list[Tensor]]()

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, args, output: found.setdefault(name, []).append(output.detach())

    for name, part in twin.named_modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(keep(name))
    run(twin)
    assert readings.keys() == found.keys()
    for name, calls in found.items():
        outputs = calls[::every]
        rows = torch.cat([output.flatten(0, -2) for output in outputs]).double().cpu().numpy()
        assert_read(readings[name], rows, samples=sum(map(len, outputs)))
        assert readings[name].calls == len(outputs)


@pytest.mark.parametrize("way", WAYS)
def test_every_row_counts_once_however_a_block_is_checkpointed(way: Way) -> None:
    assert_each_row_once(watched(net(way), train).train, train)


@pytest.mark.parametrize("way", WAYS)
def test_gradients_of_a_checkpointed_model_are_the_same_to_the_bit(way: Way) -> None:
    model, unwatched = net(way), net(way)
    watched(model, train)
    train(unwatched)
    for one, other in zip(model.parameters(), unwatched.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True:UserWarning")
def test_a_checkpointed_model_is_evaluated_without_a_backward_pass(way: Way) -> None:
    def evaluate(model: nn.Module) -> None:
        model.eval()
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                for batch in batches():
                    model(batch)

    snapshot = watched(net(way), evaluate)
    assert snapshot.train == {}
    assert_each_row_once(snapshot.eval, evaluate)


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpointed_model_counts_once_under_autocast(way: Way, device: torch.device) -> None:
    def run(model: nn.Module) -> None:
        for batch in batches():
            with torch.autocast(device.type, torch.bfloat16):
                output = model(batch)
            assert output.dtype == torch.bfloat16
            output.float().square().sum().backward()

    assert_each_row_once(watched(net(way), run).train, run)


@pytest.mark.parametrize("way", KINDS)
def test_backward_passes_in_any_number_and_order_add_nothing(way: Way) -> None:
    def run(model: nn.Module) -> None:
        first, second, third = batches()
        one, other = model(first).sum(), model(second).sum()
        other.backward(retain_graph=True)
        late = model(third).sum()
        for loss in (one, other, late):
            loss.backward()

    assert_each_row_once(watched(net(way), run).train, run)


def test_a_gradient_of_a_gradient_through_a_checkpoint_adds_nothing() -> None:
    def run(model: nn.Module) -> None:
        for batch in batches():
            (slope,) = torch.autograd.grad(model(batch).sum(), batch, create_graph=True)
            slope.square().sum().backward()

    assert_each_row_once(watched(net(partial(checkpoint, use_reentrant=False)), run).train, run)


@pytest.mark.parametrize("way", KINDS)
def test_a_backward_pass_in_another_thread_adds_nothing(way: Way) -> None:
    def run(model: nn.Module) -> None:
        for batch in batches():
            thread = Thread(target=model(batch).sum().backward)
            thread.start()
            thread.join()
            assert batch.grad is not None

    assert_each_row_once(watched(net(way), run).train, run)


@pytest.mark.parametrize("wrapped", ["before watch", "after watch"])
@pytest.mark.parametrize("kind", CheckpointImpl)
def test_blocks_in_a_wrapper_of_torch_count_once_under_their_own_names(
    kind: CheckpointImpl, wrapped: str
) -> None:
    def wrap_blocks() -> None:
        for place, block in enumerate(model.blocks):
            model.blocks[place] = checkpoint_wrapper(block, checkpoint_impl=kind)

    model = net(plain)
    if wrapped == "before watch":
        wrap_blocks()
    with fathom.watch(model, budget=None) as monitor:
        if wrapped == "after watch":
            wrap_blocks()
        train(model)
        readings = monitor.snapshot(0).train
    assert_each_row_once(readings, train)
    assert "blocks.0._checkpoint_wrapped_module.0" in dict(model.named_modules())


@pytest.mark.parametrize("way", KINDS)
def test_a_model_that_is_checkpointed_whole_takes_one_step_a_call(way: Way) -> None:
    def run(model: Any, way: Way) -> None:
        for batch in batches():
            way(model, batch).square().sum().backward()

    readings = watched(net(plain), partial(run, way=way), every=2).train
    assert_each_row_once(readings, partial(run, way=plain), every=2)


@pytest.mark.parametrize("way", KINDS)
def test_a_mask_by_hand_outlasts_the_backward_pass_before_its_call(way: Way) -> None:
    model: Any = nn.Sequential(nn.Linear(6, 9))
    first, second, _ = batches()
    mask = torch.arange(5) < torch.tensor([5, 1, 3, 2, 4, 1, 5])[:, None]
    with fathom.watch(model, budget=None) as monitor:
        loss = way(model, first).sum()
        monitor.snapshot(0)
        monitor.mask(mask)
        loss.backward()
        rows = model(second).detach()[mask].double().cpu().numpy()
        assert_read(monitor.snapshot(1).train["0"], rows, samples=7)


@pytest.mark.parametrize("way", KINDS)
def test_a_function_that_picks_an_output_may_compute_with_it(way: Way) -> None:
    def run(model: nn.Module) -> None:
        train(model)
        assert all(parameter.grad is not None for parameter in model.parameters())

    picks: dict[str, Any] = {"*": lambda output: output.sigmoid().logit()}
    assert_each_row_once(watched(net(way), run, outputs=picks).train, run)


@pytest.mark.parametrize("way", KINDS)
def test_a_backward_pass_that_fails_half_way_leaves_nothing_behind(way: Way) -> None:
    def fail(module: nn.Module, args: Any) -> None:
        raise ZeroDivisionError

    def run(model: Any, way: Way) -> None:
        for batch in batches():
            loss = model(batch).sum()
            handle = model.blocks[0][3].register_forward_pre_hook(fail)
            with nullcontext() if way is plain else pytest.raises(ZeroDivisionError):
                loss.backward()
            handle.remove()
        train(model)

    readings = watched(net(way), partial(run, way=way)).train
    assert_each_row_once(readings, partial(run, way=plain))
