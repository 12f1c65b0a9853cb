"""Layers at the steps of a training: from checkpoints and data, and from covariances alone."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import fathom
from alike import cka, svcca
from fathom.store.stored import StoredRun


def made() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))


def moved(model: nn.Module, step: int) -> nn.Module:
    """The model after some training, by chance."""
    generator = torch.Generator().manual_seed(step)
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3 * step)
    return changed


def data() -> Tensor:
    return torch.randn(90, 6, generator=torch.Generator().manual_seed(9))


def output(model: nn.Module, layer: str) -> Tensor:
    with torch.no_grad():
        x: Tensor = data()
        for module in list(model.eval().children())[: int(layer) + 1]:
            x = module(x)
    return x


@pytest.mark.parametrize("method", ["cka", "svcca"])
def test_each_step_is_compared_with_each(method: str, tmp_path: Path) -> None:
    model = made()
    steps = {step: moved(model, step) for step in (7, 0, 2, 5)}
    torch.save(steps[2].state_dict(), tmp_path / "plain.pt")
    wrapped = {f"module.{name}": each for name, each in steps[5].state_dict().items()}
    torch.save(
        {"state_dict": wrapped, "epoch": 5},
        tmp_path / "old.pt",
        _use_new_zipfile_serialization=False,
    )
    before = copy.deepcopy(model.state_dict())
    found = fathom.similarity_over_steps(
        model,
        {
            7: steps[7],
            0: steps[0].state_dict(),
            2: tmp_path / "plain.pt",
            5: str(tmp_path / "old.pt"),
        },
        [data()[:60], data()[60:]],
        method=method,
        memory=312_000 if method == "cka" else 60_000,
    )
    assert found.steps == (0, 2, 5, 7)
    assert found.layers == ("0", "3")
    assert found.samples == 90
    for layer in found.layers:
        for row, a in enumerate(found.steps):
            for column, b in enumerate(found.steps):
                x, y = output(steps[a], layer), output(steps[b], layer)
                direct = cka([x[:60], x[60:]], [y[:60], y[60:]]) if method == "cka" else svcca(x, y)
                assert found[layer][row, column] == pytest.approx(direct, abs=1e-5)
    assert np.array_equal(found.to_last[0], found["0"][:, -1])
    assert model.training
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


def test_checkpoints_that_are_the_same_weights_are_refused() -> None:
    model = made()
    states: dict[int, Any] = {step: model.state_dict() for step in range(3)}
    nested: dict[int, Any] = {0: model, 5: {"state_dict": model.state_dict()}}
    for same in (states, nested):
        with pytest.raises(fathom.ArgumentError, match="weights of their own, got the same at"):
            fathom.similarity_over_steps(model, same, data())
    # A part that does not change may be shared.
    other = copy.deepcopy(model.state_dict()) | {"0.weight": model.state_dict()["0.weight"]}
    fathom.similarity_over_steps(model, {0: model.state_dict(), 1: other}, data())


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_that_are_computed_before_each_call_are_no_hindrance() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 6)), nn.Linear(6, 4))
    model(torch.randn(2, 8))
    states = {0: copy.deepcopy(model.state_dict())}
    first: Any = model[0]
    with torch.no_grad():
        first.weight_v.add_(torch.randn(6, 8))
    states[1] = copy.deepcopy(model.state_dict())
    x = torch.randn(40, 8)
    found = fathom.similarity_over_steps(model, states, x)
    with torch.no_grad():
        rows = []
        for state in states.values():
            model.load_state_dict(state)
            rows.append(first(x)[:, None])
    assert found["0"][0, 1] == pytest.approx(cka(rows[:1], rows[1:]), abs=1e-5)


def test_a_run_keeps_it(tmp_path: Path) -> None:
    model = made()
    with fathom.watch(model, tmp_path / "run") as monitor:
        model(data())
        monitor.snapshot(step=0)
    states = {step: moved(model, step).state_dict() for step in range(3)}
    found = fathom.similarity_over_steps(model, states, data(), run=tmp_path / "run", name="x")
    with fathom.open_run(tmp_path / "run") as run:
        kept = run.similarities_over_steps()["x"]
        assert not run.similarities()
    assert np.array_equal(kept.values, found.values)
    assert (kept.layers, kept.steps, kept.samples) == (found.layers, found.steps, 90)


def test_a_dead_step_is_named() -> None:
    model = made()
    dead = copy.deepcopy(model.state_dict())
    dead["3.weight"].zero_()
    found = fathom.similarity_over_steps(model, {0: model.state_dict(), 1: dead}, data())
    assert found.constant == (("3", 1),)
    assert found["3"].tolist() == [[pytest.approx(1), 0], [0, 0]]
    assert "3 at 1" in str(found)


class Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harmed"),))


def test_wrong_checkpoints_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = made()
    torch.save({"state_dict": Harmful()}, "harmful.pt")
    good = model.state_dict()
    for checkpoints, message in (
        ({0: good}, "at least two by step, got 1"),
        ([good, good], "at least two by step, got list"),
        ({0: good, 1: nn.Linear(2, 2).state_dict()}, "must fit the model, got that of step 1"),
        ({0: good, 1: {}}, "hold a state dict, got dict in that of step 1"),
        ({0: good, 1: "nothing.pt"}, "nothing.pt at step 1"),
        ({0: good, 1: "harmful.pt"}, "harmful.pt at step 1"),
        ({0: good, "a": good}, "step must be a whole number"),
    ):
        with pytest.raises(fathom.ArgumentError, match=message):
            fathom.similarity_over_steps(model, checkpoints, data())  # type: ignore[arg-type]
    assert not Path("harmed").exists()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, NDArray[Any]]]:
    """A run with covariances of three steps, and the outputs of its first layer."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    first = nn.Linear(6, 8)
    model = nn.Sequential(first, nn.Linear(8, 4)).eval()
    rows = {}
    with fathom.watch(model, folder, budget=None, keep="covariance") as monitor:
        for step in (0, 1, 4):
            x = torch.randn(300, 6) * torch.linspace(2, 0.05, 6)
            with torch.no_grad():
                first.weight += 0.2 * step * torch.randn(8, 6)
                rows[step] = first(x).double().numpy()
                model(x)
            monitor.snapshot(step=step)
    return folder, rows


@pytest.mark.parametrize("memory", [2**30, 2048])
@pytest.mark.parametrize("threshold", [0.6, 0.99])
def test_directions_of_a_step_carry_a_share_of_the_variance_of_another(
    watched: tuple[Path, dict[int, NDArray[Any]]], memory: int, threshold: float
) -> None:
    folder, rows = watched
    found = fathom.eigenspace_similarity(folder, memory=memory, threshold=threshold)
    assert found.steps == (0, 1, 4)
    assert found.layers == ("0", "1")
    for row, a in enumerate(found.steps):
        centred = rows[a] - rows[a].mean(0)
        _, values, right = np.linalg.svd(centred, full_matrices=False)
        share = np.cumsum(values**2) / (values**2).sum()
        leading = right[: int(np.searchsorted(share, threshold)) + 1].T
        for column, b in enumerate(found.steps):
            other = rows[b] - rows[b].mean(0)
            expected = ((other @ leading) ** 2).sum() / (other**2).sum()
            assert found["0"][row, column] == pytest.approx(expected, abs=1e-5)
    assert (np.diagonal(found.values, axis1=1, axis2=2) >= threshold - 1e-9).all()
    assert found["0"].min() < found["0"].diagonal().min() - 0.01


def test_each_file_is_read_twice_and_the_run_keeps_what_was_found(
    watched: tuple[Path, dict[int, NDArray[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = watched
    reads: list[int] = []
    known = StoredRun.covariances

    def counted(self: StoredRun, *given: Any, **options: Any) -> Any:
        reads.append(options["step"])
        return known(self, *given, **options)

    monkeypatch.setattr(StoredRun, "covariances", counted)
    found = fathom.eigenspace_similarity(folder, name="spaces")
    assert len(found.layers) > 1
    assert sorted(reads) == sorted(2 * list(found.steps))
    with fathom.open_run(folder) as run:
        kept = run.similarities_over_steps()["spaces"]
    assert np.array_equal(kept.values, found.values)


def test_some_layers_and_steps_of_an_open_run(
    watched: tuple[Path, dict[int, NDArray[Any]]],
) -> None:
    with fathom.open_run(watched[0]) as run:
        found = fathom.eigenspace_similarity(run, layers=["1"], steps=[4, 0])
        assert (found.layers, found.steps, found.model) == (("1",), (0, 4), "Sequential")
        for arguments, message in (
            ({"layers": ["2"]}, "layers must be of the run, got '2'"),
            ({"phase": "test"}, "phase must be one of"),
            ({"threshold": 0}, "threshold must be in"),
            ({"memory": 100}, "memory must be at least 2.0 KiB for 0, of width 8, got 100 B"),
        ):
            with pytest.raises(fathom.ArgumentError, match=message):
                fathom.eigenspace_similarity(run, **arguments)
        with pytest.raises(fathom.RunNotFoundError, match="step must be one of the run, got 3"):
            fathom.eigenspace_similarity(run, steps=[0, 3])
        with pytest.raises(fathom.RunNotFoundError, match="at least two steps in train, got 0"):
            fathom.eigenspace_similarity(run, phase="train")


def test_what_a_layer_has_not_at_every_step_is_left_out(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 520)).eval()
    with fathom.watch(
        model, tmp_path / "run", budget=None, keep="covariance", max_width=512
    ) as monitor:
        for step in range(2):
            with torch.no_grad():
                model(torch.randn(90, 4))
            monitor.snapshot(step=step)
    with pytest.warns(fathom.FathomWarning, match="1 layers are left out, without covar.*: 1"):
        found = fathom.eigenspace_similarity(tmp_path / "run")
    assert found.layers == ("0",)


def test_a_layer_that_stands_still_has_no_directions(tmp_path: Path) -> None:
    last = nn.Linear(3, 3)
    model = nn.Sequential(nn.Linear(4, 3), last).eval()
    with fathom.watch(model, tmp_path / "run", budget=None, keep="covariance") as monitor:
        for step in range(3):
            with torch.no_grad():
                if step == 1:
                    last.weight.zero_()
                if step == 2:
                    last.weight.fill_(1)
                model(torch.randn(90, 4))
            monitor.snapshot(step=step)
    found = fathom.eigenspace_similarity(tmp_path / "run")
    assert found.constant == (("1", 1),)
    assert found["1"][1].tolist() == found["1"][:, 1].tolist() == [0, 0, 0]
    assert found["1"][2, 2] == pytest.approx(1)
