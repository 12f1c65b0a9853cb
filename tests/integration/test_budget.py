"""The default: rows are sampled within a budget, on every kind of layer and training."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.distributed import get_rank
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import fathom
from processes import Processes


def digits(count: int) -> tuple[Tensor, Tensor]:
    data = load_digits()
    images = torch.tensor(data.images[:count], dtype=torch.float32)[:, None] / 8 - 1
    return nn.functional.interpolate(images, size=16, mode="bilinear"), torch.tensor(
        data.target[:count]
    )


def vgg() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(inplace=True)),
        nn.MaxPool2d(2),
        *(nn.Conv2d(64, 96, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(384, 10)),
    )


def train(model: nn.Module, steps: int, batch: int = 32) -> list[float]:
    images, labels = digits(steps * batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for part in range(steps):
        rows = slice(part * batch, (part + 1) * batch)
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_default_reads_a_part_and_comes_to_what_every_row_says() -> None:
    model = vgg()
    with fathom.watch(model) as default, fathom.watch(model, budget=None) as exact:
        train(model, 50)
        found, expected = default.snapshot(0).train, exact.snapshot(0).train
    settled = [name for name, reading in found.items() if reading.status == "settled"]
    assert settled[:3] == ["0", "3", "7"]
    assert sum(reading.rows for reading in found.values()) < sum(
        reading.rows / 2 for reading in expected.values()
    )
    for name in settled:
        apart = abs(found[name].intrinsic_dimension - expected[name].intrinsic_dimension)
        # Where the threshold falls between two directions it may go to either.
        assert apart <= max(1, 0.01 * found[name].width)
        assert found[name].statistics["total_variance"] == pytest.approx(
            expected[name].statistics["total_variance"], rel=0.1
        )


def test_the_training_is_the_same_to_the_bit() -> None:
    plain, watched = vgg(), vgg()
    expected = train(plain, 40)
    with fathom.watch(watched):
        assert train(watched, 40) == expected
    for one, other in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)


def readings(model: nn.Module, run: Callable[[], Any], **options: Any) -> dict[str, Any]:
    with fathom.watch(model, **options) as monitor:
        run()
        return {
            name: (each.rows, each.samples, each.calls, each.eigenvalues.tolist())
            for name, each in monitor.snapshot(0).train.items()
        }


def test_the_same_calls_are_read_each_time() -> None:
    one, other = vgg(), vgg()
    found = readings(one, lambda: train(one, 20))
    assert found == readings(other, lambda: train(other, 20))
    assert found["11"][2] < 20  # the small head, at some of the calls


def test_a_compiled_model_is_read_at_the_same_calls() -> None:
    torch.manual_seed(0)
    eager = nn.Sequential(nn.Linear(8, 40), nn.Tanh(), nn.Linear(40, 3))
    compiled = copy.deepcopy(eager)
    batches = [torch.randn(16, 8) for _ in range(40)]
    found = readings(eager, lambda: [eager(batch) for batch in batches])
    graph: Any = None

    def run() -> None:
        nonlocal graph
        graph = torch.compile(compiled)
        for batch in batches:
            graph(batch)

    again = readings(compiled, run)
    assert {name: each[:3] for name, each in found.items()} == {
        name: each[:3] for name, each in again.items()
    }


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_recomputed_call_is_none(use_reentrant: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 40), nn.Tanh(), nn.Linear(40, 3))
    batches = [torch.randn(16, 8, requires_grad=True) for _ in range(40)]

    def plainly() -> None:
        for batch in batches:
            model(batch).sum().backward()

    def checkpointed() -> None:
        for batch in batches:
            checkpoint(model, batch, use_reentrant=use_reentrant).sum().backward()

    assert readings(model, plainly) == readings(model, checkpointed)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 20, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, torch.arange(30, 0, -1), batch_first=True)
        hidden: Tensor = self.lstm(packed)[1][0]
        return hidden


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        self.encoder = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)

    def forward(self, x: Tensor, src_key_padding_mask: Tensor | None = None) -> Tensor:
        encoded: Tensor = self.encoder(x, src_key_padding_mask=src_key_padding_mask)
        return encoded


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, Any]]] = {
    "packed": (Recurrent, (30, 30, 6), {}),
    "last step": (Recurrent, (30, 30, 6), {"timesteps": "last"}),
    "attention": (Attention, (30, 30, 6), {}),
    "maps": (lambda: nn.Conv2d(3, 12, 3), (30, 3, 9, 9), {}),
    "channels last": (
        lambda: nn.Conv2d(3, 12, 3).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        (30, 3, 9, 9),
        {},
    ),
    "mean": (lambda: nn.Conv2d(3, 12, 3), (30, 3, 9, 9), {"conv": "mean"}),
    "flat": (lambda: nn.Conv2d(3, 2, 3), (30, 3, 9, 9), {"conv": "flatten"}),
    "smaller": (lambda: nn.Conv2d(3, 12, 3), (30, 3, 9, 9), {"downsample": 2}),
    "one image": (lambda: nn.Conv2d(3, 12, 3), (3, 9, 9), {}),
    "volumes": (lambda: nn.ConvTranspose3d(3, 12, 3), (4, 3, 5, 5, 5), {}),
    "every third": (lambda: nn.Linear(6, 12), (30, 6), {"every": 3}),
    "a few samples": (lambda: nn.Linear(6, 12), (30, 6), {"max_samples": 100}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_is_sampled(kind: str) -> None:
    make, shape, options = KINDS[kind]
    torch.manual_seed(0)
    model = make()
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(shape, generator=generator) for _ in range(90)]

    def run() -> None:
        for batch in batches:
            model(batch)

    found, every = readings(model, run, **options), readings(model, run, budget=None, **options)
    assert found.keys() == every.keys() != set()
    for name, (rows, samples, calls, values) in found.items():
        limit = 90 / options.get("every", 1)
        assert 2 <= calls < limit
        assert 0 < rows < every[name][0] or "max_samples" in options
        assert 0 < samples <= every[name][1]
        # Of the same spread, as far as so few rows tell.
        assert sum(values) == pytest.approx(sum(every[name][3]), rel=0.3)


def test_padding_counts_no_more_than_without_a_budget() -> None:
    torch.manual_seed(0)
    model = Attention()
    mask = torch.arange(30) >= torch.arange(1, 31)[:, None]
    with fathom.watch(model) as monitor:
        for _ in range(60):
            model(torch.randn(30, 30, 6), src_key_padding_mask=mask)
        for reading in monitor.snapshot(0).train.values():
            assert reading.padded > 0
            assert reading.rows > reading.calls


def test_stopped_and_resumed_reads_the_same_rows(tmp_path: Any) -> None:
    model, (images, _) = vgg(), digits(1280)
    batches = images.split(32)
    with fathom.watch(model) as monitor:
        for batch in batches:
            model(batch)
        expected = monitor.snapshot(0).train
    model = vgg()
    with fathom.watch(model) as monitor:
        for batch in batches[:17]:
            model(batch)
        torch.save(monitor.state_dict(), tmp_path / "state.pt")
        weights = copy.deepcopy(model.state_dict())
    second = vgg()
    second.load_state_dict(weights)
    with fathom.watch(second) as monitor:
        monitor.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for batch in batches[17:]:
            second(batch)
        found = monitor.snapshot(0).train
    assert found.keys() == expected.keys()
    for name, reading in found.items():
        assert torch.equal(reading.eigenvalues, expected[name].eigenvalues)
        assert (reading.rows, reading.calls) == (expected[name].rows, expected[name].calls)


def test_each_window_draws_anew() -> None:
    model = nn.Linear(4, 6)
    batches = [torch.full((1, 4), float(call)) for call in range(50)]
    with fathom.watch(model) as monitor:
        seen = set()
        for window in range(6):
            for batch in batches:
                model(batch)
            seen.add(monitor.snapshot(window).train[""].statistics["total_variance"])
    assert len(seen) > 3


def watch_a_rank() -> dict[str, tuple[int, int]]:
    torch.manual_seed(get_rank())
    model = nn.Sequential(nn.Linear(6, 32), nn.Linear(32, 5))
    with fathom.watch(model) as monitor:
        for _ in range(40):
            model(torch.randn(16, 6))
        own = {each.layer: each.calls for each in monitor.report()}
        readings = monitor.snapshot(0).train
    return {name: (own[name], reading.calls) for name, reading in readings.items()}


@pytest.mark.regime("Processes")
def test_ranks_read_the_same_calls_so_that_none_waits_for_another(processes: Processes) -> None:
    one, other = processes.run(watch_a_rank, ranks=2)
    assert one == other
    for own, both in one.values():
        assert both == 2 * own < 80


def test_max_samples_take_a_sample_of_the_first_samples_and_not_of_their_first() -> None:
    model = nn.Linear(4, 6)
    with fathom.watch(model, max_samples=50) as monitor:
        for _ in range(3):
            model(torch.randn(40, 4))
        reading = monitor.snapshot(0).train[""]
    assert reading.samples == 50


def test_rankme_from_the_run_is_that_of_the_snapshot(tmp_path: Any) -> None:
    torch.manual_seed(0)
    model = nn.Linear(16, 96)
    options: Any = {"keep": "covariance", "statistics": ["rankme"]}
    with fathom.watch(model, tmp_path / "asked", **options) as monitor:
        with fathom.watch(model, tmp_path / "later", keep="covariance") as other:
            for _ in range(60):
                model(torch.randn(4, 16))
            other.snapshot(0)
        live = monitor.snapshot(0).train[""].statistics["rankme"]
    with fathom.open_run(tmp_path / "later") as run:
        assert run.statistic("rankme", phase="train")[0, 0] == pytest.approx(live, rel=1e-9)
