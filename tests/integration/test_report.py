from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fathom

pytestmark = pytest.mark.regime("Told")


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.odd = nn.Identity()
        self.spare = nn.Linear(8, 8)
        self.used = nn.Linear(8, 3)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.first(x)
        x = self.attention(x, x, x, need_weights=False)[0]
        self.odd("text")
        return nn.functional.linear(x, self.used.weight)


def test_every_layer_says_what_was_seen_of_it_or_why_nothing_was() -> None:
    torch.manual_seed(0)
    model, batch = Model(), torch.randn(5, 6, 4)
    batch[0, 0, 0] = torch.nan
    mask = torch.ones(5, 6)
    mask[1:3, 4:] = 0
    layers = ["*", "odd", "attention.out_proj"]
    with fathom.watch(model, layers=layers, budget=None) as monitor:
        assert {each.state for each in monitor.report()} == {"not called", "bypassed"}
        with pytest.warns(fathom.FathomWarning, match="odd"):
            model(batch, attention_mask=mask)
        found = {each.layer: each for each in monitor.report()}
        snapshot = monitor.snapshot(0)
        assert {each.state for each in monitor.report()} == {
            "not called",
            "bypassed",
            "switched off",
        }
    assert list(found)[:3] == ["first", "attention", "odd"]
    first = found["first"]
    assert (first.state, first.calls, first.rows) == ("observed", 1, 5 * 6 - 4 - 1)
    assert (first.dropped, first.padded) == (1, 4)
    reading = snapshot.train["first"]
    assert (reading.rows, reading.dropped, reading.padded) == (25, 1, 4)
    assert found["odd"].state == "switched off"
    assert "str" in found["odd"].reason
    assert found["attention.out_proj"].state == "bypassed"
    assert "attention" in found["attention.out_proj"].reason
    assert found["spare"].state == found["used"].state == "not called"
    assert (
        set(snapshot.unobserved) == set(snapshot.reasons) == {"attention.out_proj", "spare", "used"}
    )
    assert snapshot.reasons["spare"].startswith("not called: no call of its module")
    assert snapshot.reasons["attention.out_proj"].startswith("bypassed: nn.MultiheadAttention")


def test_a_layer_that_only_ran_on_skipped_steps_was_called() -> None:
    class Alternating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
            self.calls = 0

        def forward(self, x: Tensor) -> Any:
            self.calls += 1
            return self.layers[(self.calls - 1) % 2](x)

    model = Alternating()
    with fathom.watch(model, every=2, budget=None) as monitor:
        for _ in range(4):
            model(torch.randn(5, 3))
        states = {each.layer: each.state for each in monitor.report()}
    assert states == {"layers.0": "observed", "layers.1": "skipped"}
