"""Layers of real models compared, against the papers' formulas on the same features."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, TensorDataset

import fathom
from alike import cka, pwcca, svcca

METHODS = ("cka", "svcca", "pwcca")


class Net(nn.Module):
    """Two convolutions of equal maps, one of smaller maps, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.two = nn.Conv2d(4, 6, 3, padding=1)
        self.three = nn.Conv2d(6, 5, 3, stride=2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.one(x)))
        x = torch.relu_(self.two(x))
        x = self.drop(torch.relu(self.three(x)))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def made(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


class Counted(list[Tensor]):
    """Batches, and how often they were gone through."""

    times = 0

    def __iter__(self) -> Iterator[Tensor]:
        self.times += 1
        return super().__iter__()


def bytes_of(method: str, bound: str, *, within: bool) -> int:
    """Enough for all pairs, for some, or hardly for the largest."""
    if method == "cka":
        return {"all": 2**20, "some": 145_400, "pairs": 120_100}[bound]
    if within:
        return {"all": 2**24, "some": 366_000, "pairs": 348_000}[bound]
    return {"all": 2**24, "some": 700_000, "pairs": 416_000}[bound]


def images(count: int = 120) -> Tensor:
    return torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def outputs(model: nn.Module, batches: list[Tensor]) -> dict[str, list[Tensor]]:
    """(b, positions, channels) of each layer and batch, by hooks of this test."""
    found: dict[str, list[Tensor]] = {}
    hooks = []
    for name in ("one", "two", "three", "head"):

        def keep(module: nn.Module, args: Any, output: Tensor, name: str = name) -> None:
            values = output.detach().clone()
            values = values.flatten(2).movedim(1, 2) if values.ndim > 2 else values[:, None]
            found.setdefault(name, []).append(values)

        hooks.append(model.get_submodule(name).register_forward_hook(keep))
    model.eval()
    with torch.no_grad():
        for batch in batches:
            model(batch)
    for hook in hooks:
        hook.remove()
    return found


def expected(method: str, a: list[Tensor], b: list[Tensor]) -> float:
    if method == "cka":
        return cka(a, b)
    x, y = torch.cat(a), torch.cat(b)
    x, y = (
        (x.flatten(0, 1), y.flatten(0, 1)) if x.shape[1] == y.shape[1] else (x.mean(1), y.mean(1))
    )
    return svcca(x, y) if method == "svcca" else pwcca(x, y)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bound", ["all", "some", "pairs"])
def test_each_pair_is_as_the_formula_says(method: str, bound: str) -> None:
    a, b = made(0), made(1)
    batches = Counted(images().split(40))
    left, right = outputs(a, batches), outputs(b, batches)
    batches.times = 0
    found = fathom.similarity(
        a, b, batches, method=method, memory=bytes_of(method, bound, within=False)
    )
    assert (batches.times == 1) is (bound == "all")
    assert found.rows == found.columns == ("one", "two", "three", "head")
    for row in found.rows:
        for column in found.columns:
            direct = expected(method, left[row], right[column])
            assert found[row, column] == pytest.approx(direct, abs=3e-6), (row, column)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bound", ["all", "some"])
def test_layers_of_one_model_are_compared_with_each_other(method: str, bound: str) -> None:
    model = made()
    batches = Counted(images().split(40))
    memory = bytes_of(method, bound, within=True)
    within = fathom.similarity(model, None, batches, method=method, memory=memory)
    assert (batches.times == 1) is (bound == "all")
    twin = fathom.similarity(copy.deepcopy(model), model, batches, method=method)
    assert within.within
    assert not twin.within
    assert within.values == pytest.approx(twin.values, abs=1e-7)
    assert within.values.diagonal() == pytest.approx(1, abs=1e-6)
    assert fathom.similarity(model, model, batches, method=method).within


def test_a_smaller_last_batch_counts_by_its_samples_and_a_tiny_one_not_at_all() -> None:
    a, b = made(0), made(1)
    batches = list(images(83).split(40))
    assert [len(batch) for batch in batches] == [40, 40, 3]
    found = fathom.similarity(a, b, batches)
    left, right = (outputs(model, batches[:2]) for model in (a, b))
    assert found["one", "two"] == pytest.approx(cka(left["one"], right["two"]), abs=3e-6)
    assert (found.samples, found.left_out) == (80, 3)
    assert "3 samples left out" in str(found)
    batches = list(images(90).split(40))
    left, right = (outputs(model, batches) for model in (a, b))
    found = fathom.similarity(a, b, batches)
    assert found["one", "two"] == pytest.approx(cka(left["one"], right["two"]), abs=3e-6)
    assert (found.samples, found.left_out) == (90, 0)


def test_one_batch_is_the_estimate_of_all_samples() -> None:
    a, b = made(0), made(1)
    left, right = (outputs(model, [images()]) for model in (a, b))
    found = fathom.similarity(a, b, DataLoader(TensorDataset(images()), batch_size=120))
    assert found["two", "two"] == pytest.approx(cka(left["two"], right["two"]), abs=3e-6)


def linear(weight: Tensor) -> nn.Sequential:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return nn.Sequential(layer)


def test_cka_disregards_rotation_and_scale_and_cca_any_invertible_map() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 8).double()
    rotation = torch.linalg.qr(torch.randn(6, 6).double())[0]
    data = torch.randn(400, 8).double()
    rotated = linear(weight), linear(-3 * rotation @ weight)
    assert fathom.similarity(*rotated, data).values == pytest.approx(1, abs=1e-9)
    mapped = linear(weight), linear(torch.randn(6, 6).double() @ weight)
    assert fathom.similarity(*mapped, data).values < 0.95
    for method in ("svcca", "pwcca"):
        found = fathom.similarity(*mapped, data, method=method, threshold=1.0)
        assert found.values == pytest.approx(1, abs=1e-9)


def test_unrelated_layers_are_about_zero_on_average() -> None:
    """Each of the layers sees features of its own, so that nothing but chance goes together."""
    first, second = torch.eye(12)[:6], torch.eye(12)[6:]
    generator = torch.Generator().manual_seed(0)
    draws = np.array(
        [
            fathom.similarity(
                linear(first),
                linear(second),
                [torch.randn(16, 12, generator=generator) for _ in range(4)],
            ).values.item()
            for _ in range(40)
        ]
    )
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean()) < 4 * error
    assert error < 0.025
    assert draws.min() < 0


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_vary_is_named_and_zero(method: str) -> None:
    dead = nn.Linear(4, 3)
    model = nn.Sequential(nn.Linear(4, 4), dead, nn.Linear(3, 2))
    with torch.no_grad():
        dead.weight.zero_()
        dead.bias.fill_(0.7)
    found = fathom.similarity(model, None, torch.randn(200, 4) + 3, method=method)
    assert found.constant_rows == found.constant_columns == ("1", "2")
    assert found.values[1:].tolist() == found.values[:, 1:].T.tolist() == [[0.0] * 3] * 2
    assert found["0", "0"] == pytest.approx(1)
    assert "constant" in str(found)


def test_layers_that_cannot_be_compared_are_named_and_left_out() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole, self.part = nn.Linear(8, 8), nn.Linear(4, 4)
            self.last, self.unused = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = self.whole(x)
            x = self.part(x.reshape(-1, 4)).reshape(-1, 8)
            return self.last(x)  # type: ignore[no-any-return]

    with pytest.warns(
        fathom.FathomWarning, match="2 layers are left out: unused of the model"
    ) as w:
        found = fathom.similarity(Windows(), None, torch.randn(64, 8))
    assert found.rows == ("whole", "last")
    assert "part of the model gave 128 outputs for 64 samples" in str(w[0].message)


def test_calls_of_a_shared_layer_are_features_of_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 5)
            self.last = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.layer(torch.tanh(self.layer(x)))))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model, x = Twice(), torch.randn(50, 5)
    with torch.no_grad():
        first = model.layer(x)
        second = model.layer(torch.tanh(first))
        last = model.last(torch.tanh(second))
    found = fathom.similarity(model, None, [x])
    assert found["layer", "last"] == pytest.approx(cka([torch.cat([first, second], 1)], [last]))
    found = fathom.similarity(model, None, [x], method="pwcca")
    assert found["layer", "last"] == pytest.approx(pwcca((first + second) / 2, last), abs=1e-5)


def test_padding_does_not_count() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 5)

        def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
            return self.second(torch.tanh(self.first(x)))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model, mask = Tokens(), torch.arange(7) < torch.randint(3, 8, (60, 1))
    x = torch.randn(60, 7, 6)
    garbage = torch.where(mask[..., None], x, 1e4 * torch.randn(60, 7, 6))
    for method in METHODS:
        found, other = (
            fathom.similarity(model, None, [{"x": each, "attention_mask": mask}], method=method)
            for each in (x, garbage)
        )
        assert found.values == pytest.approx(other.values, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_changes(method: str, tmp_path: Path) -> None:
    a = made(0)
    b = nn.ModuleDict({"shared": a.one, "own": nn.Linear(4, 3)})
    b.forward = lambda x: b["own"](b["shared"](x).mean((2, 3)))
    a.train()
    a.norm.eval()
    loader = DataLoader(TensorDataset(images(), torch.arange(120)), batch_size=40, shuffle=True)
    with fathom.watch(a, tmp_path / "run", budget=None) as monitor:
        a(images(32))
        before = copy.deepcopy(a.state_dict())
        own = copy.deepcopy(b.state_dict())
        both = [*a.modules(), *b.modules()]

        def put() -> list[tuple[bool, list[object], list[object]]]:
            return [
                (x.training, [*x._forward_hooks.values()], [*x._forward_pre_hooks.values()])
                for x in both
            ]

        known = put()
        assert any(hooks for _, _, hooks in known)
        states = random.getstate(), repr(np.random.get_state()), torch.get_rng_state()
        fathom.similarity(a, b, loader, method=method, run=tmp_path / "run")
        assert random.getstate() == states[0]
        assert repr(np.random.get_state()) == states[1]
        assert torch.equal(torch.get_rng_state(), states[2])
        with pytest.raises(RuntimeError):
            fathom.similarity(a, b, [torch.randn(8, 3, 6, 6)])
        assert put() == known
        assert all(torch.equal(value, before[name]) for name, value in a.state_dict().items())
        assert all(torch.equal(value, own[name]) for name, value in b.state_dict().items())
        snapshot = monitor.snapshot(step=0)
    assert snapshot.train["one"].samples == 32
    assert not snapshot.eval
    with fathom.open_run(tmp_path / "run") as run:
        assert run.similarities()[method].samples == 120


def test_a_shuffled_loader_gives_the_same_batches_in_every_pass() -> None:
    model, generator = made(), torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(images()), batch_size=40, shuffle=True, generator=generator)
    before = generator.get_state()
    once, often = (fathom.similarity(model, None, loader, memory=m) for m in (2**30, 125_400))
    assert once.values == pytest.approx(often.values, abs=1e-7)
    other = fathom.similarity(model, None, images().split(40)[::-1][:2])
    assert abs(other["one", "two"] - once["one", "two"]) > 1e-6
    assert torch.equal(generator.get_state(), before)


def test_memory_bounds_what_a_large_output_takes() -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Conv2d(1, 64, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.maps(x)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model, memory = Large(), 2**20
    x = torch.randn(8, 1, 64, 64)
    sizes: list[int] = []

    class Sizes(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
            found = function(*args, **(kwargs or {}))
            given = {x.untyped_storage().data_ptr() for x in args if isinstance(x, Tensor)}
            new = isinstance(found, Tensor) and found.untyped_storage().data_ptr() not in given
            if inside and new:
                sizes.append(found.numel() * found.element_size())
            return found

    inside: list[int] = []
    # What the model itself computes is beside it.
    model.maps.register_forward_pre_hook(lambda *_: inside.clear())
    model.maps.register_forward_hook(lambda *_: inside.append(1))
    with Sizes():
        bounded = fathom.similarity(model, None, [x], memory=memory)
    # The output is 8 MiB.
    assert 0 < max(sizes) <= memory
    assert bounded.values == pytest.approx(fathom.similarity(model, None, [x]).values, abs=1e-6)


def generated() -> Iterator[Tensor]:
    yield from images().split(40)


def test_a_generator_is_enough_for_one_pass_and_refused_for_more() -> None:
    model = made()
    once = fathom.similarity(model, None, generated())
    assert np.array_equal(once.values, fathom.similarity(model, None, list(generated())).values)
    with pytest.raises(fathom.ArgumentError, match=r"go through \d times within 122.5 KiB, got a"):
        fathom.similarity(model, None, generated(), memory=125_400)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"data": list(images().split(3))},
            "at least 4 samples a batch, got at most 3, 120",
        ),
        ({"data": []}, "at least one batch, got none"),
        ({"data": None}, "data must be batches, got None"),
        ({"model_b": images()}, "model_b must be a module, got Tensor"),
        ({"method": "ckaa"}, "method must be one of cka, svcca, pwcca, got 'ckaa'"),
        ({"threshold": 1.5}, r"threshold must be in \(0, 1\], got 1.5"),
        ({"memory": 0}, "memory must be a whole number of bytes above 0, got 0"),
        ({"memory": 500}, "memory must be at least .* for one and one, got 500 B"),
        ({"name": "../x", "run": "."}, "name must be of letters"),
        ({"data": images() * torch.nan}, "numbers must be finite, got nan"),
        ({"data": images(9), "method": "pwcca"}, "more rows than both layers have directions"),
    ],
)
def test_wrong_use_is_refused_with_what_came(arguments: dict[str, Any], message: str) -> None:
    wrong = {"model_b": None, "data": images(), **arguments}
    with pytest.raises(fathom.ArgumentError, match=message):
        fathom.similarity(made(), wrong.pop("model_b"), wrong.pop("data"), **wrong)


def test_what_is_replaced_unasked_is_said(tmp_path: Path) -> None:
    model = made()
    with fathom.watch(model, tmp_path / "run"):
        pass
    for name in (None, "other", "other"):
        fathom.similarity(model, None, images(20), run=tmp_path / "run", name=name)
    with pytest.warns(fathom.FathomWarning, match="run has 'cka' already.* name="):
        fathom.similarity(model, None, images(30), run=tmp_path / "run")
    with fathom.open_run(tmp_path / "run") as run:
        found = run.similarities()
    assert {name: each.samples for name, each in found.items()} == {"cka": 30, "other": 20}


def test_few_rows_for_correlations_are_warned_of() -> None:
    with pytest.warns(fathom.FathomWarning, match="20 of 3 directions of head of the model and 3"):
        fathom.similarity(made(), None, images(20), method="svcca", layers=["head"], threshold=1.0)


def test_a_run_that_is_none_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(fathom.RunNotFoundError):
        fathom.similarity(made(), None, generated(), run=tmp_path)
