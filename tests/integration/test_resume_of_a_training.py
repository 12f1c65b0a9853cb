"""A training that was stopped in the middle of a window and resumed counts as one that was not."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fathom

pytestmark = pytest.mark.regime("Resume")


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator(torch.get_default_device()).manual_seed(3)
    return [torch.randn(7, 1, 6, 6, generator=generator) for _ in range(count)]


def step(model: nn.Module, batch: Tensor) -> None:
    model.train()
    model(batch).sum().backward()
    model.eval()
    with torch.no_grad():
        model(batch[:3])


def same(one: fathom.Snapshot, other: fathom.Snapshot) -> None:
    for phase in ("train", "eval"):
        ours, theirs = one.phase(phase), other.phase(phase)
        assert list(ours) == list(theirs) != []
        for name, reading in ours.items():
            assert torch.equal(reading.eigenvalues, theirs[name].eigenvalues)
            for fact in ("rows", "samples", "calls", "dropped", "status"):
                assert getattr(reading, fact) == getattr(theirs[name], fact)
    assert one.unobserved == other.unobserved
    assert one.output_layer == other.output_layer


@pytest.mark.parametrize("options", [{}, {"every": 2}, {"max_samples": 20}, {"layers": ["0"]}])
def test_stopped_and_resumed_is_like_never_stopped(
    tmp_path: Path, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    model = network()
    data = batches(9)
    with fathom.watch(copy.deepcopy(model), **options, budget=None) as monitor:  # type: ignore[arg-type]
        whole = monitor._capture._model
        for batch in data:
            step(whole, batch)
        expected = monitor.snapshot(0)

    first = copy.deepcopy(model)
    with fathom.watch(first, **options, budget=None) as monitor:  # type: ignore[arg-type]
        for batch in data[:5]:
            step(first, batch)
        torch.save({"model": first.state_dict(), "fathom": monitor.state_dict()}, tmp_path / "c.pt")
        step(first, data[5])  # lost with the process

    checkpoint = torch.load(tmp_path / "c.pt", weights_only=True)
    second = network()
    second.load_state_dict(checkpoint["model"])
    with fathom.watch(second, **options, budget=None) as monitor:  # type: ignore[arg-type]
        monitor.load_state_dict(checkpoint["fathom"])
        for batch in data[5:]:
            step(second, batch)
        same(monitor.snapshot(0), expected)


def test_a_state_is_tensors_only_and_does_not_change_afterwards() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        step(model, batches(1)[0])
        state = monitor.state_dict()
        assert all(isinstance(each, Tensor) for each in state.values())
        before = {key: each.clone() for key, each in state.items()}
        step(model, batches(1)[0])
        assert all(torch.equal(state[key], before[key]) for key in state)


def test_a_state_that_does_not_fit_is_refused_and_nothing_is_lost() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        step(model, batches(1)[0])
        state = monitor.state_dict()
        other = nn.Sequential(nn.Conv2d(1, 6, 3))
        with fathom.watch(other, budget=None) as another:
            other(batches(1)[0])
            with pytest.raises(fathom.ShapeError, match="0 must have width 6, got 4"):
                another.load_state_dict({k: v for k, v in state.items() if "/3/" not in k})
            with pytest.raises(fathom.ArgumentError, match="watched layers, got train/3"):
                another.load_state_dict({k: v for k, v in state.items() if "/0/" not in k})
            assert another.snapshot(0).train["0"].samples == 7
        with pytest.raises(fathom.ArgumentError, match=r"of a monitor, got the entry '0\.weight'"):
            monitor.load_state_dict(model.state_dict())
        torn = {k: v for k, v in state.items() if not k.endswith("/scatter")}
        with pytest.raises(fathom.ArgumentError, match="without scatter"):
            monitor.load_state_dict(torn)
        assert monitor.snapshot(0).train["0"].samples == 7
