"""Probes of real models: against scikit-learn on features that the test takes itself."""

import copy
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl  # type: ignore[import-untyped]
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import fathom
from fathom.analysis import regression
from fathom.analysis.fitting import Fitting
from fathom.probes import Probes

Data = tuple[Tensor, Tensor]


class Small(nn.Module):
    """Two convolutions, each followed by what overwrites its output, and a head."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(4),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        self.head = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(self.features(x).mean((2, 3)))
        return head


@pytest.fixture(scope="module")
def data() -> tuple[Data, Data]:
    """Stripes of three directions with noise, of which nobody is right about all."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (140,), generator=generator)
    place = torch.arange(8.0)
    waves = torch.stack(
        [
            torch.sin(place)[:, None].expand(8, 8),
            torch.sin(place)[None].expand(8, 8),
            torch.sin(place[:, None] + place[None]),
        ]
    )
    images = waves[labels][:, None] + 1.6 * torch.randn(140, 1, 8, 8, generator=generator)
    return (images[:100], labels[:100]), (images[100:], labels[100:])


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = Small()
    model(torch.randn(50, 1, 8, 8))
    return model


def reference(model: nn.Module, data: Data, name: str) -> np.ndarray[Any, Any]:
    """The features of a layer, taken by hand: (n, 16 c) of a map, else (n, d)."""
    taken: list[Tensor] = []
    own = copy.deepcopy(model).eval()
    module = own.get_submodule(name)
    module.register_forward_hook(lambda module, inputs, output: taken.append(output.clone()))
    with torch.no_grad():
        own(data[0])
    (output,) = taken
    if output.ndim == 4:
        output = functional.adaptive_avg_pool2d(output, 4).flatten(1)
    return output.double().numpy()


@pytest.mark.parametrize("memory", [2**31, 240_000])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_number_is_scikit_learn_s(
    model: nn.Module, data: tuple[Data, Data], memory: int, workers: int
) -> None:
    train, held_out = data
    probes = fathom.probe(model, train, held_out, memory=memory, workers=workers)
    assert [probe.layer for probe in probes] == ["features.0", "features.4", "head"]
    for probe in probes:
        values, others = (reference(model, each, probe.layer) for each in data)
        scaler = StandardScaler().fit(values)
        expected = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000)
        expected.fit(scaler.transform(values), train[1])
        assert probe.train_accuracy == pytest.approx(
            expected.score(scaler.transform(values), train[1]), abs=1e-12
        )
        assert probe.eval_accuracy == pytest.approx(
            expected.score(scaler.transform(others), held_out[1]), abs=1e-12
        )
        assert probe.features == values.shape[1]
        assert (probe.samples, probe.eval_samples, probe.converged) == (100, 40, True)
    # Not all alike, or the comparison would say little.
    assert len({probe.eval_accuracy for probe in probes}) == 3
    with torch.no_grad():
        right = copy.deepcopy(model).eval()(held_out[0]).argmax(1) == held_out[1]
    assert probes.model_accuracy == pytest.approx(right.double().mean().item())
    assert (probes.step, probes.legacy, probes.left_out) == (None, False, {})


def test_legacy_is_saga_on_the_features_as_they_are(
    model: nn.Module, data: tuple[Data, Data]
) -> None:
    probes = fathom.probe(model, *data, legacy=True)
    assert probes.legacy
    for probe in probes:
        values, others = (reference(model, each, probe.layer) for each in data)
        expected = LogisticRegression(C=1.0, solver="saga", max_iter=100, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected.fit(values.astype(np.float32), data[0][1])
        assert probe.train_accuracy == pytest.approx(expected.score(values, data[0][1]), abs=0.02)
        assert probe.eval_accuracy == pytest.approx(expected.score(others, data[1][1]), abs=0.03)
        assert probe.converged == (expected.n_iter_.max() < 100)


def test_labels_go_with_their_images_however_the_data_are_given(
    model: nn.Module, data: tuple[Data, Data]
) -> None:
    train, held_out = data
    expected = fathom.probe(model, train, held_out)

    def dicts(part: Data) -> Iterator[dict[str, Tensor]]:
        for x, y in zip(part[0].split(30), part[1].split(30), strict=True):
            yield {"x": x, "labels": y}

    shuffled = [DataLoader(TensorDataset(*part), batch_size=17, shuffle=True) for part in data]
    for given in (
        shuffled,
        [dicts(part) for part in data],
        [TensorDataset(*part) for part in data],
    ):
        found = fathom.probe(model, *given)
        assert found.model_accuracy == expected.model_accuracy
        for one, other in zip(found, expected, strict=True):
            # Sums in another order: a sample on the border may fall to the other side.
            assert one.eval_accuracy == pytest.approx(other.eval_accuracy, abs=0.026)
            assert one.train_accuracy == pytest.approx(other.train_accuracy, abs=0.011)
    mixed = (train[0], train[1][torch.randperm(100)])
    assert fathom.probe(model, train, held_out)["features.0"].eval_accuracy > 0.6
    assert fathom.probe(model, mixed, held_out)["features.0"].eval_accuracy < 0.6


def test_the_numbers_depend_on_neither_workers_nor_memory(
    model: nn.Module, data: tuple[Data, Data]
) -> None:
    expected = fathom.probe(model, *data)
    some: list[dict[str, Any]] = [{"workers": 1}, {"workers": 7}, {"memory": 240_000}]
    for options in some:
        assert fathom.probe(model, *data, **options) == expected


def test_the_model_and_all_else_is_as_before(
    model: nn.Module, data: tuple[Data, Data], tmp_path: Path
) -> None:
    model.train()
    model.features.eval()  # type: ignore[union-attr]
    model.features[1].train()  # type: ignore[index, union-attr]
    loader = DataLoader(TensorDataset(*data[0]), batch_size=20, shuffle=True)

    def state() -> tuple[Any, ...]:
        return (
            {name: tensor.clone() for name, tensor in model.state_dict().items()},
            [module.training for module in model.modules()],
            [
                (len(module._forward_hooks), len(module._forward_pre_hooks))
                for module in model.modules()
            ],
            torch.get_rng_state(),
            random.getstate(),
            repr(np.random.get_state()),
        )

    def drawing(batch: Any) -> tuple[Any, Any]:
        random.random()
        np.random.rand()
        torch.rand(3)
        return batch[0], batch[1]

    def broken(batch: Any) -> tuple[Any, Any]:
        # The loader's second batch comes after a call of the model.
        if calls:
            raise ZeroDivisionError
        calls.append(1)
        return drawing(batch)

    calls: list[int] = []
    with fathom.watch(model, tmp_path / "run", budget=None) as monitor:
        model(data[0][0])
        before = state()
        fathom.probe(model, loader, data[1], unpack=drawing)
        with pytest.raises(ZeroDivisionError):
            fathom.probe(model, loader, data[1], unpack=broken)
        after = state()
        for one, other in zip(before[0].values(), after[0].values(), strict=True):
            assert torch.equal(one, other)
        assert before[1:3] == after[1:3]
        assert torch.equal(before[3], after[3])
        assert before[4:] == after[4:]
        snapshot = monitor.snapshot(step=0)
        assert snapshot.train["head"].rows == 100
        assert not snapshot.eval


def test_a_compiled_model_is_probed_as_it_is(model: nn.Module, data: tuple[Data, Data]) -> None:
    expected = fathom.probe(model.eval(), *data)
    compiled: Any = torch.compile(model, backend="eager")
    model.head.compile(backend="eager")  # type: ignore[union-attr]
    with torch.no_grad():
        compiled(data[0][0])
        model(data[0][0])
    assert fathom.probe(compiled, *data) == expected
    assert fathom.probe(model, *data) == expected


def test_padding_is_not_averaged() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 5)
            self.linear = nn.Linear(5, 6)

        def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
            hidden: Tensor = self.linear(self.embedding(x))
            return hidden.sum(1)[:, :2]

    torch.manual_seed(0)
    model, words = Tokens(), torch.randint(20, (60, 7))
    mask = (torch.arange(7) < torch.randint(1, 8, (60, 1))).long()
    labels = (words[:, 0] > 9).long()
    given = [{"x": words, "attention_mask": mask, "labels": labels}]
    probes = fathom.probe(model, given, given)
    with torch.no_grad():
        output = model.linear(model.embedding(words))
    lengths = mask.sum(1)
    rows = [each[:length].mean(0).numpy() for each, length in zip(output, lengths, strict=True)]
    values = StandardScaler().fit_transform(np.array(rows, dtype=np.float64))
    expected = LogisticRegression(tol=1e-8, max_iter=10_000).fit(values, labels)
    assert probes["linear"].train_accuracy == pytest.approx(expected.score(values, labels))
    assert probes["linear"].train_accuracy == probes["linear"].eval_accuracy < 1


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ([torch.randn(4, 1, 8, 8)], "train_data must have labels, got a batch without"),
        ([], "train_data must have samples, got none"),
        ((torch.randn(0, 1, 8, 8), torch.zeros(0).long()), "train_data must have samples"),
        (
            (torch.randn(4, 1, 8, 8), torch.rand(4)),
            r"one whole class number a sample as labels, \(b,\), got \(4,\) of torch.float32",
        ),
        ((torch.randn(4, 1, 8, 8), torch.eye(4).long()), r"got \(4, 4\) of torch.int64"),
        (
            (torch.randn(4, 1, 8, 8), torch.full((4,), 3)),
            r"train_data must have two classes or more, got \[3\] alone",
        ),
    ],
)
def test_data_that_cannot_be_probed_are_refused(
    model: nn.Module, data: tuple[Data, Data], train: Any, message: str
) -> None:
    with pytest.raises(fathom.ArgumentError, match=message):
        fathom.probe(model, train, data[1])
    if "two classes" not in message:
        with pytest.raises(fathom.ArgumentError, match=message.replace("train_data", "eval_data")):
            fathom.probe(model, data[0], train)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be a whole number of 1 or more, got 0"),
        ({"memory": 1.5}, "memory must be a whole number of bytes, got 1.5"),
        ({"memory": 100}, "layers must have one that can be probed, got none"),
        ({"layers": ["tail"]}, "got 'tail' that matches none"),
        ({"step": 1.5}, "probe: step must be a whole number of at most 64 bits, got 1.5"),
    ],
)
def test_wrong_arguments_are_refused(
    model: nn.Module, data: tuple[Data, Data], options: Any, message: str
) -> None:
    with pytest.raises(fathom.ArgumentError, match=message):
        fathom.probe(model, *data, **options)


def test_classes_that_were_never_fitted_count_as_wrong(
    model: nn.Module, data: tuple[Data, Data]
) -> None:
    train, (images, labels) = data
    known = train[1] < 2
    part = (train[0][known], train[1][known])
    with pytest.warns(fathom.FathomWarning, match=r"eval_data has \d+ samples of classes that"):
        probes = fathom.probe(model, part, (images, labels))
    seen = labels < 2
    alone = fathom.probe(model, part, (images[seen], labels[seen]))
    for one, other in zip(probes, alone, strict=True):
        assert one.eval_accuracy * 40 == pytest.approx(other.eval_accuracy * int(seen.sum()))


class Odd(nn.Module):
    """Layers that cannot be probed, each for a reason of its own, and one that can."""

    def __init__(self) -> None:
        super().__init__()
        self.good = nn.Linear(4, 4)
        self.twice = nn.Linear(4, 4)
        self.infinite = nn.Linear(4, 4)
        self.flat = nn.Linear(2, 2)
        self.never = nn.Linear(4, 4)
        self.sometimes = nn.Linear(4, 4)
        self.later = nn.Linear(4, 4)
        self.times = 0
        with torch.no_grad():
            self.infinite.bias.fill_(torch.inf)

    def forward(self, x: Tensor) -> Tensor:
        self.times += 1
        self.infinite(x)
        self.flat(x.reshape(-1, 2))
        (self.sometimes if self.times % 2 else self.later)(x)
        last: Tensor = self.good(self.twice(self.twice(x)))
        return last


def test_layers_that_cannot_be_probed_are_left_out_with_one_warning() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(300, 4), torch.arange(300) % 2
    with pytest.warns(fathom.FathomWarning) as warned:
        probes = fathom.probe(Odd(), (x, y), (x, y))
    assert len(warned) == 1
    assert "6 layers are left out" in str(warned[0].message)
    assert [probe.layer for probe in probes] == ["good"]
    assert probes.left_out == {
        "twice": "called more than once in a forward pass",
        "infinite": "its output has nan, or numbers without end",
        "flat": "its output has 256 rows for 128 labels",
        "never": "never called",
        "sometimes": "called in some batches only",
        "later": "called in some batches only",
    }
    assert probes.model_accuracy == pytest.approx(0.5, abs=0.2)
    with pytest.raises(fathom.ArgumentError, match="of 1, twice: called more than once"):
        fathom.probe(Odd(), (x, y), (x, y), layers=["twice"])


def test_a_layer_too_large_for_memory_is_left_out(
    model: nn.Module, data: tuple[Data, Data]
) -> None:
    with pytest.warns(
        fathom.FathomWarning, match=r"its fit takes 1\d\d\.\d KiB of memory=78.1 KiB"
    ):
        probes = fathom.probe(model, *data, memory=80_000, layers=["features.0", "head"])
    assert [probe.layer for probe in probes] == ["head"]


def test_an_end_in_the_middle_leaves_nothing(
    model: nn.Module, data: tuple[Data, Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Fitting, "_fitted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fathom.probe(model, *data, memory=50_000, workers=1)
    assert not list(tmp_path.iterdir())


def test_it_shows_how_far_it_is(
    model: nn.Module, data: tuple[Data, Data], capsys: pytest.CaptureFixture[str]
) -> None:
    fathom.probe(model, *data)
    assert capsys.readouterr() == ("", "")
    fathom.probe(model, *data, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    for words in ("training data", "probes", "held-out data"):
        assert words in err
    assert "3/3" in err


def test_threads_are_as_many_as_before(
    model: nn.Module, data: tuple[Data, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = []

    def seen(*arguments: Any, **options: Any) -> Any:
        inside.append(_threads())
        return regression.fitted(*arguments, **options)

    monkeypatch.setattr("fathom.analysis.fitting.fitted", seen)
    own = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threadpoolctl.threadpool_limits(2, user_api="blas"):
            before = _threads()
            assert 2 in before.values()
            fathom.probe(model, *data)
            assert _threads() == before
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(own)
    # One a fit, so that the bits do not depend on how many there are.
    assert all(set(each.values()) == {1} for each in inside)
    assert inside


def _threads() -> dict[str, int]:
    """How many threads each library of linear algebra uses."""
    found = threadpoolctl.threadpool_info()
    return {each["filepath"]: each["num_threads"] for each in found if each["user_api"] == "blas"}


def test_samples_without_a_label_are_left_out(model: nn.Module, data: tuple[Data, Data]) -> None:
    (x, y), (held_x, held_y) = data
    some, held = y.clone(), held_y.clone()
    some[::5], held[:7] = -100, -100
    found = fathom.probe(model, (x, some), (held_x, held))
    kept = y[some >= 0]
    plain = fathom.probe(model, (x[some >= 0], kept), (held_x[7:], held_y[7:]))
    assert found.probes == plain.probes
    assert found.model_accuracy == plain.model_accuracy
    assert (found.ignored, found.eval_ignored) == (20, 7)
    assert "labelled -100, which is none, and left out: 20 and 7 more" in str(found)
    assert Probes.from_body(found.to_body()) == found
    with pytest.raises(fathom.ArgumentError, match="eval_data must have labels, got -100 for ev"):
        fathom.probe(model, data[0], (held_x, torch.full_like(held_y, -100)))


def test_classes_of_one_sample_each_are_fitted_without_a_word(model: nn.Module) -> None:
    x = torch.randn(6, 1, 8, 8)
    assert fathom.probe(model, (x, torch.arange(6)), (x, torch.arange(6)))["head"].features == 3


def test_a_data_set_is_no_list_of_batches(
    model: nn.Module, data: tuple[Data, Data], capsys: pytest.CaptureFixture[str]
) -> None:
    fathom.probe(model, TensorDataset(*data[0]), data[1], progress=True)
    assert "/100" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "layers", "words"),
    [
        ("m", None, "probe: model must be a torch.nn.Module, got str"),
        (None, ["nothing"], "probe: layers must match a module, got 'nothing'"),
    ],
    ids=["model", "layers"],
)
def test_what_cannot_be_probed_is_refused_in_its_own_name(
    model: Any, layers: Any, words: str, data: tuple[Data, Data]
) -> None:
    with pytest.raises(fathom.ArgumentError, match=words):
        fathom.probe(model or Small(), *data, layers=layers)
