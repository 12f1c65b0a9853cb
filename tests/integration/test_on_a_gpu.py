"""On a GPU no hook makes the CPU wait. The first test needs none; the second does."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import fathom

WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}
"""Operators that on a GPU wait for all work before them."""


class Waits(TorchDispatchMode):
    """Notes the operators that would wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        masked = function.name() == "aten::index.Tensor" and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        if masked or function.name() in WAITING:
            self.found.append(function.name())
        return function(*args, **(kwargs or {}))


def models() -> list[tuple[nn.Module, Tensor, dict[str, Tensor]]]:
    """Models with arguments: images, and tokens with padding."""
    convolutions = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8 * 36, 10)
    )
    padding = torch.arange(7) >= torch.tensor([[7], [3], [5], [1]])
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return [
        (convolutions, torch.randn(16, 3, 8, 8), {}),
        (layer, torch.randn(4, 7, 16), {"src_key_padding_mask": padding}),
        (nn.GRU(5, 6, batch_first=True), torch.randn(4, 7, 5), {}),
    ]


@pytest.mark.parametrize("number", range(3), ids=["images", "tokens", "sequences"])
@pytest.mark.parametrize("options", [{}, {"every": 2}, {"max_samples": 5}], ids=str)
def test_no_hook_asks_for_a_number(
    number: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.spectral.moments._may_branch", lambda device: False)
    # What counts here is a mode, which fathom would hide from.
    monkeypatch.setattr("fathom.capture.capture.unseen_by_modes", nullcontext)
    model, batch, arguments = models()[number]
    with Waits() as alone:
        model(batch, **arguments)
    with fathom.watch(model, **options, budget=None) as monitor:
        with Waits() as watched:
            for _ in range(2):
                model(batch, **arguments)
        assert monitor.snapshot(step=0).train
    assert watched.found == 2 * alone.found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("every", [1, 2])
def test_no_hook_waits_for_the_gpu(every: int) -> None:
    for model, batch, arguments in models():
        model, batch = model.cuda(), batch.cuda()
        arguments = {name: each.cuda() for name, each in arguments.items()}
        with fathom.watch(model, every=every, budget=None) as monitor:
            torch.cuda.set_sync_debug_mode("error")
            try:
                for _ in range(2 * every):
                    model(batch, **arguments)
            finally:
                torch.cuda.set_sync_debug_mode("default")
            assert monitor.snapshot(step=0).train
