"""Live probes of watched models: what is fitted and scored, and what is not."""

from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import fathom
from fathom.sinks.names import numbers_of
from reference import oas_of_classes

CLASSES = 3


def drawn(count: int, *shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Samples whose classes differ in their mean; some classes come more often."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator).clamp(max=CLASSES - 1)
    samples = torch.randn(count, *shape, generator=generator)
    return samples + 0.7 * labels.reshape(-1, *[1] * len(shape)), labels


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(96, 7), nn.Linear(7, 3)
    )


def accuracy(
    train: Tensor, labels: Tensor, rows: Tensor, truth: Tensor, weights: Any = None
) -> float:
    """Of scikit-learn's classifier of (b, n, d) rows: their log-likelihoods and once the prior."""
    flat = train.detach().double().numpy().reshape(-1, train.shape[-1])
    classes = labels.repeat_interleave(train.shape[1]).numpy()
    share = oas_of_classes(flat, classes)
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share).fit(flat, classes)
    priors = np.log(other.priors_)
    each = rows.detach().double().numpy() @ other.coef_.T + other.intercept_ - priors
    right = (each.sum(1) + priors).argmax(1) == truth.numpy()
    return float(np.average(right, weights=weights))


def rows_of(output: Tensor) -> Tensor:
    """(b, n, d) of a feature map, or of (b, d)."""
    return output.flatten(2).transpose(1, 2) if output.ndim > 2 else output[:, None]


def epoch(
    monitor: fathom.Monitor, call: Any, model: nn.Module, train: Any, test: Any, size: int = 16
) -> None:
    for mode, (samples, labels) in ((True, train), (False, test)):
        model.train(mode)
        for some, own in zip(samples.split(size), labels.split(size), strict=True):
            monitor.labels(own)
            call(some)


def test_probes_are_scikit_learns_on_the_same_features(tmp_path: Path) -> None:
    model, train, test = convolutional(), drawn(90, 2, 6, 6), drawn(70, 2, 6, 6, seed=1)
    with fathom.watch(model, tmp_path / "run", classes=CLASSES, budget=None) as monitor:
        epoch(monitor, model, model, train, test)
        snapshot = monitor.snapshot(0).wait()
    for name in ("0", "3", "4"):
        below = model[: int(name) + 1]
        # ReLU works in place.
        features = [rows_of(below(samples).clone()) for samples in (train[0], test[0])]
        expected = accuracy(features[0], train[1], features[1], test[1])
        reading = snapshot.eval[name]
        assert reading.probe_accuracy == pytest.approx(expected, abs=1e-9), name
        assert 0.34 < expected < 1
        assert reading.probe_samples == 70
        assert snapshot.train[name].probe_samples == 0
        assert np.isnan(snapshot.train[name].probe_accuracy)
    with fathom.open_run(tmp_path / "run") as run:
        again = run.snapshot(0)
        assert {n: r.probe for n, r in again.eval.items()} == {
            n: r.probe for n, r in snapshot.eval.items()
        }
        drawn_of = run.timeline().numbers("probe_accuracy", phase="eval")
        np.testing.assert_allclose(
            drawn_of[0], [r.probe_accuracy for r in snapshot.eval.values()], rtol=1e-6
        )
        wide = run.to_pandas(wide=True)
        assert set(wide.loc[wide.phase == "eval", "probe_samples"]) == {70}
    names = [name for name in numbers_of(snapshot) if "probe_accuracy" in name]
    assert names == [f"fathom/eval/probe_accuracy/{name}" for name in ("0", "3", "4")]
    assert "probe 0." in repr(snapshot.eval["0"])
    assert "<th" in snapshot._repr_html_()
    assert ">probe<" in snapshot._repr_html_()


def test_moments_and_training_are_the_same_with_probes() -> None:
    spectra, weights = [], []
    for options in ({}, {"classes": CLASSES}):
        model, train, test = convolutional(), drawn(64, 2, 6, 6), drawn(40, 2, 6, 6)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with fathom.watch(model, **options) as monitor:  # type: ignore[arg-type]
            for some, own in zip(train[0].split(16), train[1].split(16), strict=True):
                if options:
                    monitor.labels(own)
                nn.functional.cross_entropy(model(some), own).backward()
                optimizer.step()
            if options:
                monitor.labels(test[1])
            model.eval()(test[0])
            snapshot = monitor.snapshot(0).wait()
        spectra.append([r.eigenvalues for r in [*snapshot.train.values(), *snapshot.eval.values()]])
        weights.append([each.detach().clone() for each in model.parameters()])
    for ones in (spectra, weights):
        assert all(torch.equal(one, two) for one, two in zip(*ones, strict=True))


@pytest.mark.parametrize("budget", [1e-9, 0.02])
def test_labels_are_those_of_the_samples_that_the_budget_takes(budget: float) -> None:
    # Rows tell their class to the number: with the label of another sample some would be wrong.
    first, second = nn.Conv2d(2, 64, 1), nn.Conv2d(64, 64, 1)
    nn.init.orthogonal_(first.weight)
    nn.init.orthogonal_(second.weight)
    model = nn.Sequential(first, second)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (3200,), generator=generator)
    samples = torch.randn(3200, 2, 8, 8, generator=generator)
    samples = 0.1 * samples + 5 * labels.reshape(-1, 1, 1, 1)
    samples[:, 1] = samples[:, 1].square()
    with fathom.watch(model, classes=CLASSES, budget=budget) as monitor:
        epoch(monitor, model, model, (samples, labels), (samples, labels), size=64)
        snapshot = monitor.snapshot(0).wait()
    for reading in snapshot.eval.values():
        assert 0 < reading.probe_samples < 3200
        assert reading.probe_samples == reading.samples
        assert reading.probe_accuracy == 1


def test_every_and_max_samples_choose_what_is_scored() -> None:
    model, train, test = convolutional(), drawn(64, 2, 6, 6), drawn(64, 2, 6, 6)
    with fathom.watch(model, classes=CLASSES, budget=None, every=2) as monitor:
        epoch(monitor, model, model, train, test)
        assert monitor.snapshot(0).eval["0"].probe_samples == 32
    with fathom.watch(model, classes=CLASSES, budget=None, max_samples=40) as monitor:
        epoch(monitor, model, model, train, test)
        reading = monitor.snapshot(0).eval["0"]
    below = model[:1]
    features = [rows_of(below(samples[:40])) for samples in (train[0], test[0])]
    assert reading.probe_samples == 40
    expected = accuracy(features[0], train[1][:40], features[1], test[1][:40])
    assert reading.probe_accuracy == pytest.approx(expected, abs=1e-9)


class Sequences(nn.Module):
    """A recurrent layer and a linear one behind it; padding is told by a mask."""

    def __init__(self, *, batch_first: bool):
        super().__init__()
        torch.manual_seed(0)
        self.first = batch_first
        self.rnn = nn.LSTM(4, 5, batch_first=batch_first)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        out = self.rnn(x if self.first else x.transpose(0, 1))[0]
        return out if self.first else out.transpose(0, 1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("way", ["batch first", "steps first", "mask", "packed", "last of packed"])
def test_sequences_vote_with_their_real_steps(way: str) -> None:
    train, test = drawn(60, 6, 4), drawn(50, 6, 4, seed=3)
    lengths = [torch.randint(1, 7, (60,)), torch.randint(1, 7, (50,))]
    model = Sequences(batch_first=way != "steps first")
    last = "last" if way.startswith("last") else "all"
    with fathom.watch(model, classes=CLASSES, budget=None, timesteps=last) as monitor:
        for mode, (samples, labels), sizes in (
            (True, train, lengths[0]),
            (False, test, lengths[1]),
        ):
            model.train(mode)
            monitor.labels(labels)
            if way == "mask":
                model(samples, attention_mask=(torch.arange(6) < sizes[:, None]).long())
            elif "packed" in way:
                model(pack_padded_sequence(samples, sizes, batch_first=True, enforce_sorted=False))
            else:
                model(samples)
        reading = monitor.snapshot(0).eval["rnn"]
    if way in ("batch first", "steps first"):
        lengths = [torch.full((60,), 6), torch.full((50,), 6)]
    plain = nn.LSTM(4, 5, batch_first=True)
    plain.load_state_dict(model.rnn.state_dict())
    picked: list[list[np.ndarray[Any, Any]]] = []
    for (samples, _), sizes in ((train, lengths[0]), (test, lengths[1])):
        out = plain(samples)[0].detach().double().numpy()
        first = sizes - 1 if last == "last" else torch.zeros_like(sizes)
        picked.append([own[a:b] for own, a, b in zip(out, first, sizes, strict=True)])
    flat = np.concatenate(picked[0])
    classes = np.repeat(train[1].numpy(), [len(each) for each in picked[0]])
    share = oas_of_classes(flat, classes)
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share).fit(flat, classes)
    priors = np.log(other.priors_)
    said = [
        ((each @ other.coef_.T + other.intercept_ - priors).sum(0) + priors).argmax()
        for each in picked[1]
    ]
    assert reading.probe_samples == 50
    assert reading.probe_accuracy == pytest.approx((np.array(said) == test[1].numpy()).mean())


class Heads(nn.Module):
    """The second layer sees every sample three times."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).reshape(-1, 2))  # type: ignore[no-any-return]


def test_a_layer_of_other_samples_has_none_and_says_why(tmp_path: Path) -> None:
    model, (samples, labels) = Heads(), drawn(40, 4)
    with fathom.watch(model, tmp_path / "run", classes=CLASSES, budget=None) as monitor:
        epoch(monitor, model, model, (samples, labels), (samples, labels), size=40)
        snapshot = monitor.snapshot(0).wait()
    assert snapshot.eval["one"].probe_samples == 40
    assert snapshot.eval["two"].probe_samples == 0
    assert snapshot.eval["two"].rows == 120
    reason = "no probe: two: it has 120 samples where there are 40 labels"
    assert reason in snapshot.notes("eval")
    with fathom.open_run(tmp_path / "run") as run:
        assert reason in run.snapshot().notes("eval")


def test_a_sketched_layer_has_none_and_says_why() -> None:
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 600)), drawn(40, 4)
    with fathom.watch(model, classes=CLASSES, budget=None, max_width=512) as monitor:
        epoch(monitor, model, model, (samples, labels), (samples, labels), size=40)
        reading = monitor.snapshot(0).eval["0"]
    assert reading.sketched
    assert reading.probe_samples == 0
    assert "sketched" in reading.probe.reason


def test_labels_that_are_forgotten_or_ignored_leave_their_rows_out() -> None:
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 6)), drawn(60, 4)
    some = labels.clone()
    some[::3] = -100
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.labels(labels)
        model(samples)
        model(samples)
        monitor.labels(some)
        model.eval()(samples)
        model(samples)
        snapshot = monitor.snapshot(0)
    assert snapshot.train["0"].rows == snapshot.eval["0"].rows == 120
    assert snapshot.eval["0"].probe_samples == 40
    assert snapshot.eval["0"].probe.reason == ""


def test_without_labels_it_says_so() -> None:
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 6)), drawn(60, 4)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.labels(labels)
        model.eval()(samples)
        assert "no labelled rows in train" in monitor.snapshot(0).eval["0"].probe.reason
        model(samples)
        assert "monitor.labels(y)" in monitor.snapshot(1).eval["0"].probe.reason
    with fathom.watch(model) as monitor:
        model(samples)
        assert monitor.snapshot(0).eval["0"].probe.reason == ""


@pytest.mark.parametrize("order", ["train, eval", "train only, eval", "eval before train"])
def test_the_last_train_rows_that_there_were_are_fitted(order: str) -> None:
    """The probe is of this window's train rows, or of the last window that had any."""
    model, train, test = nn.Sequential(nn.Linear(4, 6)), drawn(60, 4), drawn(50, 4, seed=4)
    other = (train[0], train[1].roll(1))
    expected = accuracy(rows_of(model(train[0])), train[1], rows_of(model(test[0])), test[1])
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:

        def learn(samples: Tensor, labels: Tensor) -> None:
            monitor.labels(labels)
            model.train()(samples)

        def score() -> None:
            monitor.labels(test[1])
            model.eval()(test[0])

        learn(*other)
        score()
        assert monitor.snapshot(0).eval["0"].probe_accuracy != expected
        learn(*train)
        if order == "train, eval":
            score()
            monitor.snapshot(1)
            score()
        elif order == "train only, eval":
            monitor.snapshot(1)
            score()
        else:
            monitor.snapshot(1)
            score()
            learn(*other)
        assert monitor.snapshot(2).eval["0"].probe_accuracy == pytest.approx(expected)


def test_a_recomputation_does_not_count_and_each_call_does() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = checkpoint(self.layer, x, use_reentrant=False)
            return self.layer(x)  # type: ignore[no-any-return]

    model, (samples, labels) = Twice(), drawn(30, 4)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.labels(labels)
        model(samples).sum().backward()
        sums = monitor.state_dict()["windows/train/layer/classes_counts"]
        assert sums.tolist() == (2 * labels.bincount(minlength=CLASSES)).tolist()
        monitor.labels(labels)
        model.eval()(samples)
        assert monitor.snapshot(0).eval["layer"].probe_samples == 60


def test_compiled_models_have_probes_and_forget_labels() -> None:
    torch._dynamo.reset()
    model, train, test = convolutional(), drawn(64, 2, 6, 6), drawn(64, 2, 6, 6, seed=2)
    found = []
    for compiled in (False, True):
        with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
            call = torch.compile(model, backend="aot_eager", fullgraph=True) if compiled else model
            with torch.no_grad():
                epoch(monitor, call, model, train, test)
                call(test[0][:16])
            found.append(monitor.snapshot(0))
    torch._dynamo.reset()
    for name, reading in found[0].eval.items():
        assert reading.probe == found[1].eval[name].probe
        assert reading.probe_samples == 64
        assert found[1].eval[name].samples == 80


def test_a_state_goes_on_in_the_middle() -> None:
    model, train, test = convolutional(), drawn(64, 2, 6, 6), drawn(64, 2, 6, 6, seed=2)
    with fathom.watch(model, classes=CLASSES) as monitor:
        epoch(monitor, model, model, train, test)
        whole = monitor.snapshot(0).wait()
    parts = [(True, train, slice(40)), (True, train, slice(40, 64)), (False, test, slice(16))]
    state: dict[str, Tensor] = {}
    for mode, (samples, labels), part in [*parts, (False, test, slice(16, 64))]:
        with fathom.watch(model, classes=CLASSES) as monitor:
            monitor.load_state_dict(state) if state else None
            model.train(mode)
            for some, own in zip(samples[part].split(8), labels[part].split(8), strict=True):
                monitor.labels(own)
                model(some)
            state = monitor.state_dict()
            last = monitor.snapshot(0).wait()
    for name, reading in last.eval.items():
        assert reading.probe_samples > 0
        assert whole.eval[name].probe_samples > 0


def test_a_state_within_every_row_is_as_if_never_stopped() -> None:
    model, train, test = convolutional(), drawn(64, 2, 6, 6), drawn(64, 2, 6, 6, seed=2)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        epoch(monitor, model, model, train, test)
        whole = monitor.snapshot(0).wait()
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        epoch(monitor, model, model, train, (test[0][:32], test[1][:32]))
        state = monitor.state_dict()
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.load_state_dict(state)
        epoch(monitor, model, model, (test[0][:0], test[1][:0]), (test[0][32:], test[1][32:]))
        parts = monitor.snapshot(0).wait()
    assert {n: r.probe for n, r in whole.eval.items()} == {
        n: r.probe for n, r in parts.eval.items()
    }
    with fathom.watch(model, classes=CLASSES + 1) as monitor:
        monitor.load_state_dict(state)
        monitor.labels(test[1])
        model.eval()(test[0])
        # What the sums of other classes could say is no longer said.
        assert monitor.snapshot(0).eval["0"].probe_samples == 32


def test_a_pause_counts_nothing() -> None:
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 6)), drawn(60, 4)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        epoch(monitor, model, model, (samples, labels), (samples, labels), size=60)
        with monitor.pause():
            monitor.labels(labels)
            model(samples)
        assert monitor.snapshot(0).eval["0"].probe_samples == 60


def test_labels_of_one_phase_are_not_those_of_the_other() -> None:
    """Where only parts are called, no end of a call of the root lets go of them."""
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), drawn(60, 4)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.labels(labels)
        model[1](model[0](samples))
        model.eval()
        model[1](model[0](samples))
        found = monitor.snapshot(0).eval
        assert [each.probe_samples for each in found.values()] == [0, 0]
        assert "no labels before a call" in found["0"].probe.reason
        # Given before the phase is set, they are of the phase they are used in.
        model.train()
        monitor.labels(labels)
        model[1](model[0](samples))
        monitor.labels(labels)
        model.eval()
        model[1](model[0](samples))
        assert [each.probe_samples for each in monitor.snapshot(1).eval.values()] == [60, 60]


def test_labels_and_masks_wait_while_the_model_is_analysed() -> None:
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 6)), drawn(60, 4)
    sequences = torch.randn(60, 2, 4)
    mask = torch.tensor([[1, 0]]).expand(60, 2)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.labels(labels)
        fathom.probe(model, (samples, labels), (samples, labels))
        model(samples)
        monitor.labels(labels)
        with fathom.project(model, {"0": monitor.moments("train")["0"]}):
            model.eval()(samples)
        model(samples)
        monitor.mask(mask)
        fathom.similarity(model, None, sequences)
        model(sequences)
        found = monitor.snapshot(0).eval["0"]
        assert found.probe_samples == 60
        assert found.rows == 60 + 60


def test_labels_are_those_of_their_thread() -> None:
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 6)), drawn(60, 4)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.labels(labels)
        model(samples)
        model.eval()
        monitor.labels(labels)
        other = Thread(target=model, args=(samples,))
        other.start()
        other.join()
        model(samples)
        reading = monitor.snapshot(0).eval["0"]
    assert reading.rows == 120
    assert reading.probe_samples == 60


@pytest.mark.parametrize(
    "labels",
    [[0, 1, 2], torch.tensor([0, 1, 2], dtype=torch.uint8), np.array([0, 1, -100], np.int16)],
)
def test_labels_of_any_whole_type(labels: Any) -> None:
    model = nn.Linear(4, 6)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        monitor.labels(labels)
        model(torch.randn(3, 4))
        counts = monitor.state_dict()["windows/train//classes_counts"]
    assert counts.sum() == sum(int(each) >= 0 for each in labels)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.tensor([0, 3]), "labels must be from 0 to 2, or -100 for none, got 3"),
        (torch.tensor([-1, 0]), "got -1"),
        (torch.zeros(2), "got torch.float32"),
        (torch.zeros(2, 2, dtype=torch.int64), r"got shape \(2, 2\)"),
        ("cats", "got str"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_label_is_refused(labels: Any, words: str) -> None:
    with (
        fathom.watch(nn.Linear(2, 2), classes=CLASSES) as monitor,
        pytest.raises(fathom.ArgumentError, match=words),
    ):
        monitor.labels(labels)


@pytest.mark.parametrize("classes", [0, 1, 2.5, "ten", True])
def test_classes_must_be_at_least_two(classes: Any) -> None:
    with pytest.raises(fathom.ArgumentError, match="classes"):
        fathom.watch(nn.Linear(2, 2), classes=classes)


def test_labels_need_classes() -> None:
    with (
        fathom.watch(nn.Linear(2, 2)) as monitor,
        pytest.raises(fathom.ArgumentError, match="classes must be given to watch"),
    ):
        monitor.labels(torch.tensor([0]))


def test_a_fault_of_the_probe_ends_neither_training_nor_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, (samples, labels) = nn.Sequential(nn.Linear(4, 6)), drawn(60, 4)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("out of everything")

    monkeypatch.setattr("fathom.capture.probing.discriminant", fail)
    with fathom.watch(model, classes=CLASSES, budget=None) as monitor:
        with pytest.warns(fathom.FathomWarning, match="can no longer be probed"):
            epoch(monitor, model, model, (samples, labels), (samples, labels), size=20)
        snapshot = monitor.snapshot(0)
    assert snapshot.eval["0"].rows == 60
    assert "out of everything" in snapshot.eval["0"].probe.reason
