"""What a layer's training takes, against the count of the operations that torch dispatches."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fathom.capture.arithmetic import training_arithmetic

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(12, 7), (5, 12)),
    "linear over tokens": (lambda: nn.Linear(12, 7), (5, 9, 12)),
    "1d": (lambda: nn.Conv1d(4, 6, 3), (2, 4, 11)),
    "2d": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 8, 8)),
    "3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
}


def arithmetic(module: nn.Module, output: Tensor, width: int) -> float:
    return training_arithmetic(module, output.numel(), width=width)


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_backward_take_as_many_operations_as_torch_counts(name: str) -> None:
    make, shape = LAYERS[name]
    module, inputs = make(), torch.randn(shape, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        output = module(inputs)
        output.sum().backward()
    width = output.shape[1 if name[0].isdigit() else -1]
    assert arithmetic(module, output, width) == counter.get_total_flops()


# Of these the counter takes the backward pass for larger than it is.
@pytest.mark.parametrize(
    "module", [nn.ConvTranspose2d(4, 6, 2, stride=2), nn.Conv2d(4, 6, (3, 1), groups=2)]
)
def test_the_backward_pass_takes_twice_the_forward_pass(module: nn.Module) -> None:
    with FlopCounterMode(display=False) as counter:
        output = module(torch.randn(3, 4, 8, 8))
    assert arithmetic(module, output, 6) == 3 * counter.get_total_flops()


def test_a_recurrent_layer_uses_its_weights_at_every_step() -> None:
    module = nn.LSTM(5, 8, num_layers=2, bidirectional=True, batch_first=True)
    output = module(torch.randn(3, 7, 5))[0]
    weights = sum(each.numel() for each in module.parameters() if each.ndim > 1)
    assert arithmetic(module, output, 16) == 6 * 3 * 7 * weights


@pytest.mark.parametrize("module", [nn.ReLU(), nn.LayerNorm(8), nn.Embedding(1000, 8)])
def test_a_layer_that_multiplies_no_matrix_has_an_operation_a_number(module: nn.Module) -> None:
    assert training_arithmetic(module, 80, width=8) == 6 * 80
