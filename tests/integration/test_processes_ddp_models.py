"""DistributedDataParallel around convolutions, recurrent layers and transformers."""

from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from processes import Processes
from processes_comparison import Share, Witness, assert_of_all_ranks, bits_of, layers_of

pytestmark = pytest.mark.regime("Processes")

Told = tuple[list[Share], list[bytes]]
"""The windows of a training, and its losses, gradients and weights."""


class Pictures(nn.Module):
    """Convolutions with batch statistics and what changes an output in place behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 2)
        )
        self.activation, self.head = nn.ReLU(inplace=True), nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.activation(self.features(images)).mean((2, 3)))  # type: ignore[no-any-return]


class Sequences(nn.Module):
    """A recurrent layer in each order of time and batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(4, 5, bidirectional=True)
        self.second = nn.GRU(10, 7, batch_first=True)
        self.head = nn.Linear(7, 3)

    def forward(self, sequences: Tensor) -> Tensor:
        steps, _ = self.first(sequences.transpose(0, 1))
        return self.head(self.second(steps.transpose(0, 1))[0])  # type: ignore[no-any-return]


def channels_last(output: Tensor) -> Tensor:
    return output.movedim(1, -1)


def first_item(output: Any) -> Tensor:
    return output[0]  # type: ignore[no-any-return]


def sequence_first(output: Any) -> Tensor:
    return output[0].transpose(0, 1)  # type: ignore[no-any-return]


SHAPES: dict[str, tuple[int, ...]] = {"pictures": (3, 7, 7), "sequences": (8, 4)}
BY_SAMPLE = {
    "features.0": channels_last,
    "features.3": channels_last,
    "first": sequence_first,
    "second": first_item,
}
KINDS = (nn.Linear, nn.Conv2d, nn.LSTM, nn.GRU)


def train(kind: str, place: str) -> Told:
    """Train with batches of other sizes on each rank, and evaluate once more on one of them."""
    rank = distributed.get_rank()
    torch.manual_seed(0)
    model = Pictures() if kind == "pictures" else Sequences()
    layers = layers_of(model, *KINDS)
    witness = Witness(model if place == "before" else None, layers, BY_SAMPLE)
    ddp = DistributedDataParallel(model)
    if place == "after":
        witness = Witness(ddp, layers, BY_SAMPLE)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.05)
    losses = []
    for step in range(2):
        ddp.train()
        for size in (4, 9, 3):
            optimizer.zero_grad()
            losses.append(ddp(torch.randn(size + rank, *SHAPES[kind])).square().mean())
            losses[-1].backward()
            optimizer.step()
        ddp.eval()
        with torch.inference_mode():
            for size in (5, 2)[rank:]:
                losses.append(model(torch.randn(size, *SHAPES[kind])).mean())
        witness.snapshot(step)
    witness.close()
    return witness.shares, bits_of(ddp, losses)


def train_twice(kind: str, place: str) -> tuple[list[Share], bool]:
    shares, numbers = train(kind, place)
    return shares, numbers == train(kind, "nowhere")[1]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", SHAPES)
def test_convolutions_and_recurrent_layers_under_ddp_are_of_all_ranks(
    processes: Processes, kind: str, place: str
) -> None:
    told = processes.run(train_twice, kind, place, ranks=2)
    assert all(same for _, same in told)
    for shares in zip(*(shares for shares, _ in told), strict=True):
        snapshot = assert_of_all_ranks(shares)
        for phase, samples in (("train", 4 + 9 + 3 + 5 + 10 + 4), ("eval", 5 + 2 + 2)):
            assert {each.samples for each in snapshot.phase(phase).values()} == {samples}
        kinds = {each.layer.kind for each in snapshot.train.values()}
        assert kinds == {"linear", "convolution" if kind == "pictures" else "recurrent"}


def lengths_of(rank: int) -> list[list[int]]:
    """The true lengths of the sequences in each batch of a rank."""
    return [[[9, 4, 7], [1, 9]], [[2, 2, 3, 6, 5], [8]]][rank]


def train_bert(place: str) -> Told:
    import transformers  # it takes seconds, on every rank

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    model: nn.Module = transformers.BertForMaskedLM(config)
    layers = layers_of(model)
    witness = Witness(model if place == "before" else None, layers)
    ddp = DistributedDataParallel(model)
    if place == "after":
        witness = Witness(ddp, layers)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.05)
    losses = []
    for lengths in lengths_of(distributed.get_rank()):
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        tokens = torch.randint(1, 99, mask.shape)
        witness.mask = mask
        optimizer.zero_grad()
        losses.append(ddp(input_ids=tokens, attention_mask=mask.long(), labels=tokens).loss)
        losses[-1].backward()
        optimizer.step()
    witness.snapshot(1)
    witness.close()
    return witness.shares, bits_of(ddp, losses)


def train_bert_twice(place: str) -> tuple[list[Share], bool]:
    shares, numbers = train_bert(place)
    return shares, numbers == train_bert("nowhere")[1]


@pytest.mark.parametrize("place", ["before", "after"])
def test_padding_of_a_transformer_under_ddp_counts_on_no_rank(
    processes: Processes, place: str
) -> None:
    told = processes.run(train_bert_twice, place, ranks=2)
    assert all(same for _, same in told)
    snapshot = assert_of_all_ranks([shares[0] for shares, _ in told])
    batches = lengths_of(0) + lengths_of(1)
    real = sum(map(sum, batches))
    padded = sum(max(lengths) * len(lengths) for lengths in batches) - real
    assert len(snapshot.train) == 14
    for reading in snapshot.train.values():
        assert (reading.rows, reading.padded, reading.samples) == (real, padded, 11)
