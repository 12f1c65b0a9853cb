"""A watched model copies, pickles, saves and compiles as if it were not watched."""

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fathom

pytestmark = pytest.mark.regime("Copies and wrappers")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def images(count: int = 8) -> Tensor:
    return torch.randn(count, 1, 6, 6)


def through_pickle(model: nn.Module) -> nn.Module:
    loaded: nn.Module = pickle.loads(pickle.dumps(model))
    return loaded


def through_torch_save(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


COPIES = [
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(through_pickle, id="pickle"),
    pytest.param(through_torch_save, id="torch.save"),
]
Copy = Callable[[nn.Module], nn.Module]


def hooks_on(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


@pytest.mark.parametrize("layers", [None, ["0"]])
@pytest.mark.parametrize("duplicate", COPIES)
def test_a_copy_is_an_ordinary_model_that_counts_nowhere(
    duplicate: Copy, layers: list[str] | None
) -> None:
    model, batch = network().eval(), images()
    expected = model(batch)
    with fathom.watch(model, layers=layers, every=2, budget=None) as monitor:
        early = duplicate(model)
        model(batch)
        late = duplicate(model)
        for twin in (early, late):
            assert torch.equal(twin(batch), expected)
            twin.train()
            twin(batch).sum().backward()
        snapshot = monitor.snapshot(step=0)
    assert {reading.samples for reading in snapshot.eval.values()} == {8}
    assert snapshot.train == {}


@pytest.mark.parametrize("duplicate", COPIES)
def test_calls_of_a_copy_do_not_change_the_reading_of_the_original(duplicate: Copy) -> None:
    model, batch = network(), images()
    with fathom.watch(model, budget=None) as monitor:
        model(batch)
        alone = monitor.snapshot(step=0).train["4"]
        model(batch)
        duplicate(model)(images(100) * 7)
        beside = monitor.snapshot(step=1).train["4"]
    assert torch.equal(alone.eigenvalues, beside.eigenvalues)
    assert (alone.rows, alone.calls) == (beside.rows, beside.calls) == (8, 1)


@pytest.mark.parametrize("duplicate", COPIES)
def test_a_copy_of_a_closed_model_has_no_hooks(duplicate: Copy) -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        model(images())
        monitor.snapshot(step=0)
    assert hooks_on(duplicate(model)) == 0


@pytest.mark.parametrize("duplicate", COPIES)
def test_a_copy_outlives_the_monitor_and_can_be_watched_itself(duplicate: Copy) -> None:
    model = network()
    with fathom.watch(model, budget=None):
        twin = duplicate(model)
    twin(images())
    with fathom.watch(twin, budget=None) as monitor:
        twin(images(11))
        snapshot = monitor.snapshot(step=0)
    assert snapshot.train["4"].rows == 11
    twice = duplicate(duplicate(twin))
    assert twice(images(2)).shape == (2, 3)


WITHOUT_FATHOM = """
import sys, warnings
sys.modules["fathom"] = None
import pickle, torch
with open(sys.argv[1], "rb") as file:
    model = pickle.load(file)
other = torch.load(sys.argv[2], weights_only=False)
inputs = torch.linspace(-1, 1, 72).reshape(2, 1, 6, 6)
print(model.eval()(inputs).sum().item() == other.eval()(inputs).sum().item())
print(model.train()(inputs).sum().item() == other.train()(inputs).sum().item())
print(any(name.startswith("fathom.") for name in sys.modules))
"""


def test_a_watched_model_loads_where_fathom_is_not_installed(tmp_path: Path) -> None:
    model = network()
    with fathom.watch(model, layers=["0"], every=2, budget=None):
        model(images())
        (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
        torch.save(model, tmp_path / "model.pt")
    files = [str(tmp_path / "model.pickle"), str(tmp_path / "model.pt")]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_FATHOM, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True", "True", "False"]


def test_the_weights_alone_load_in_the_safe_way() -> None:
    model = network()
    file = io.BytesIO()
    with fathom.watch(model, budget=None):
        model(images())
        torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = network()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh.eval()(images(2) * 0), model.eval()(images(2) * 0))


@pytest.mark.parametrize("every", [1, 2])
def test_a_model_that_is_compiled_after_watch_still_runs(every: int) -> None:
    model = network().eval()
    batch = images()
    expected = model(batch)
    torch.compiler.reset()
    with fathom.watch(model, every=every, budget=None) as monitor:
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        for _ in range(3):
            assert torch.equal(compiled(batch), expected)
        snapshot = monitor.snapshot(step=0)
    assert snapshot.disabled == {}
    assert {reading.samples for reading in snapshot.eval.values()} <= {8 * len(range(0, 3, every))}
    assert torch.equal(compiled(batch), expected)
    torch.compiler.reset()


def test_a_compiled_copy_of_a_watched_model_counts_nowhere() -> None:
    model = network().eval()
    batch = images()
    torch.compiler.reset()
    with fathom.watch(model, budget=None) as monitor:
        compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=True)
        assert torch.equal(compiled(batch), network().eval()(batch))
        snapshot = monitor.snapshot(step=0)
    torch.compiler.reset()
    assert snapshot.unobserved == ("0", "4")


def test_an_average_of_weights_counts_nowhere() -> None:
    model = network()
    with fathom.watch(model, budget=None) as monitor:
        averaged = torch.optim.swa_utils.AveragedModel(model)
        model(images())
        averaged.update_parameters(model)
        averaged(images(50))
        reading = monitor.snapshot(step=0).train["4"]
    assert reading.rows == 8
