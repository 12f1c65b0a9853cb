"""Dynamic quantisation: a quantised copy is another model, and its layers are read by name."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fathom
from comparison import assert_read

pytestmark = [
    pytest.mark.regime("Copies and wrappers"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel"),
]

KINDS = {nn.Linear, nn.LSTM}


@pytest.fixture(autouse=True)
def on_the_cpu() -> Iterator[None]:
    """Torch quantises in this way for CPUs alone."""
    with torch.device("cpu"):
        yield


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Conv1d(4, 6, 1)
        self.memory = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.memory(self.project(x.transpose(1, 2)).transpose(1, 2))[0]
        return self.head(hidden)  # type: ignore[no-any-return]


def net() -> Net:
    torch.manual_seed(0)
    return Net()


def quantised(model: nn.Module, *, inplace: bool = False) -> Any:
    """The model with other layers, in eval mode."""
    return torch.ao.quantization.quantize_dynamic(model, KINDS, inplace=inplace)


def rows_of(model: Any, batch: Tensor) -> dict[str, Tensor]:
    """What the layers return, by calls of a model that is not watched."""
    with torch.no_grad():
        maps = model.project(batch.transpose(1, 2)).transpose(1, 2)
        hidden = model.memory(maps)[0]
        return {"project": maps, "memory": hidden, "head": model.head(hidden)}


def assert_all_read(readings: dict[str, fathom.Reading], found: dict[str, Tensor]) -> None:
    assert readings.keys() == found.keys()
    for name, output in found.items():
        rows = output.flatten(0, 1).double().numpy()
        assert_read(readings[name], rows, samples=len(output))
        assert readings[name].calls == 1


def test_a_quantised_copy_of_a_watched_model_counts_nowhere() -> None:
    model, batch = net().eval(), torch.randn(20, 7, 4)
    expected = rows_of(model, batch)
    with fathom.watch(model, budget=None) as monitor:
        other = quantised(model)
        other(torch.randn(30, 7, 4))
        model(batch)
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot.eval, expected)
    assert torch.equal(other(batch), quantised(net())(batch))


def test_a_model_quantised_in_place_is_read_on_and_let_go_at_the_end() -> None:
    model, batch = net(), torch.randn(20, 7, 4)
    with fathom.watch(model, budget=None) as monitor:
        quantised(model, inplace=True)
        model(batch)
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot.eval, rows_of(model, batch))
    assert not any(part._forward_hooks for part in model.modules())


def test_quantised_layers_are_read_where_they_are_named() -> None:
    model, batch = quantised(net()), torch.randn(20, 7, 4)
    expected = rows_of(model, batch)
    with fathom.watch(model, layers=["*", "memory", "head"], budget=None) as monitor:
        model(batch)
        snapshot = monitor.snapshot(0)
    assert_all_read(snapshot.eval, expected)


def test_a_model_of_quantised_layers_alone_is_refused_unless_they_are_named() -> None:
    model = quantised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    with pytest.raises(fathom.LayerSelectionError, match=r"Name modules with layers="):
        fathom.watch(model, budget=None)
    batch = torch.randn(40, 4)
    with fathom.watch(model, layers=["?"], budget=None) as monitor:
        model(batch)
        snapshot = monitor.snapshot(0)
    assert_read(snapshot.eval["2"], model(batch).double().numpy(), samples=40)
    assert snapshot.eval["0"].width == 6
