"""Live probes of many processes: each fits to its own rows, and the scores are added up."""

import pytest
import torch
from torch import Tensor, distributed, nn

import fathom
from fathom.reading import ProbeScore
from processes import Processes

pytestmark = pytest.mark.regime("Processes")


def part(rank: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rank)
    labels = torch.randint(0, 3, (40 + 10 * rank,), generator=generator)
    return torch.randn(len(labels), 4, generator=generator) + labels[:, None], labels


def scored(ranks: str, *, silent: int = -1) -> dict[str, ProbeScore]:
    torch.manual_seed(0)
    model, rank = nn.Sequential(nn.Linear(4, 5)), distributed.get_rank()
    samples, labels = part(rank)
    with fathom.watch(model, classes=3, budget=None, ranks=ranks) as monitor:
        for mode in (True, False):
            if rank != silent:
                monitor.labels(labels)
            model.train(mode)(samples)
        return {name: each.probe for name, each in monitor.snapshot(0).eval.items()}


def test_scores_of_all_ranks_are_added_up(processes: Processes) -> None:
    together = processes.run(scored, "all", ranks=2)
    alone = [found["0"] for found in processes.run(scored, "own", ranks=2)]
    assert together[0] == together[1]
    samples = sum(each.samples for each in alone)
    assert together[0]["0"].samples == samples == 90
    hits = sum(each.accuracy * each.samples for each in alone)
    assert together[0]["0"].accuracy == pytest.approx(hits / samples)


def only_on_one() -> dict[str, ProbeScore]:
    return scored("all", silent=0)


def test_a_rank_without_labels_adds_nothing(processes: Processes) -> None:
    found = processes.run(only_on_one, ranks=2)
    assert found[0] == found[1]
    assert found[0]["0"].samples == 50
    assert found[0]["0"].reason == ""
