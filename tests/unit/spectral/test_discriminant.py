"""Live probes are linear discriminant analysis, fitted to sums: checked against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from fathom.spectral.classes import ClassSums, SampleSums, near_mean, sums_by_sample
from fathom.spectral.discriminant import Discriminant, discriminant
from fathom.spectral.moments import Moments
from reference import oas_of_classes

CLASSES = 4


def drawn(
    samples: int, *, each: int = 3, width: int = 6, offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(samples, each, width) rows that differ by class, and the classes, not equally often."""
    generator = torch.Generator().manual_seed(samples)
    labels = torch.arange(samples) % 7 % CLASSES
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(5))
    centres = torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(6))
    noise = torch.randn(samples, each, width, generator=generator) @ mixing
    return noise + 2 * centres[labels][:, None] + offset, labels


def fitted(
    rows: Tensor, labels: Tensor, parts: int = 5, weight: int = 1
) -> tuple[Discriminant, Moments]:
    moments = Moments.zeros(rows.shape[-1])
    sums: ClassSums | None = None
    for some, own in zip(rows.chunk(parts), labels.chunk(parts), strict=True):
        moments.update(some, weight=weight)
        sums = sums or ClassSums.about(near_mean(some), CLASSES)
        sums.add(sums_by_sample(some, sums.centre), own, weight=weight)
    assert sums is not None
    found = discriminant(sums, moments)
    assert isinstance(found, Discriminant)
    return found, moments


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_it_is_scikit_learns_with_the_same_shrinkage(offset: float) -> None:
    rows, labels = drawn(90, offset=offset)
    probe, _ = fitted(rows, labels)
    flat = rows.double().numpy().reshape(-1, rows.shape[-1])
    classes = labels.repeat_interleave(rows.shape[1]).numpy()
    shrinkage = oas_of_classes(flat, classes)
    assert probe.shrinkage == pytest.approx(shrinkage, rel=1e-4)
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(flat, classes)
    new, _ = drawn(400, offset=offset)
    # With one row a sample the decision function is the same, up to what is common to all classes.
    single = sums_by_sample(new[:, :1], probe.centre)
    ours = single.sums @ probe.weights.T + probe.offsets + probe.priors
    theirs = other.decision_function(new[:, 0].double().numpy())
    ours -= ours.mean(1, keepdim=True)
    theirs -= theirs.mean(1, keepdims=True)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)
    # Of several rows the sum of the log-likelihoods decides, with the prior once.
    several = new.double().numpy() @ other.coef_.T + other.intercept_ - np.log(other.priors_)
    expected = (several.sum(1) + np.log(other.priors_)).argmax(1)
    found = probe.classes_of(sums_by_sample(new, probe.centre)).numpy()
    assert (found == expected).mean() > 0.995
    assert (found != 0).any()


def test_how_rows_come_and_what_they_weigh_does_not_matter() -> None:
    rows, labels = drawn(60)
    first, _ = fitted(rows, labels, parts=1)
    second, _ = fitted(rows, labels, parts=7)
    weighted, _ = fitted(rows, labels, weight=16)
    for other in (second, weighted):
        new = drawn(50)[0]
        one, two = (each.classes_of(sums_by_sample(new, each.centre)) for each in (first, other))
        assert torch.equal(one, two)
        torch.testing.assert_close(first.weights, other.weights, rtol=1e-4, atol=1e-6)


def test_rows_without_a_class_are_a_group_of_their_own() -> None:
    rows, labels = drawn(80)
    without = labels.clone()
    without[::5] = -100
    probe, moments = fitted(rows, without)
    assert int(moments.count) == rows.shape[0] * rows.shape[1]
    flat = rows.double().numpy().reshape(-1, rows.shape[-1])
    classes = without.repeat_interleave(rows.shape[1]).numpy()
    own = np.stack([flat[classes == each].mean(0) for each in range(CLASSES)])
    within = np.zeros((flat.shape[1],) * 2)
    for each in (-100, *range(CLASSES)):
        apart = flat[classes == each] - flat[classes == each].mean(0)
        within += apart.T @ apart / len(flat)
    share = oas_of_classes(flat, classes)
    shrunk = (1 - share) * within + share * np.trace(within) / len(within) * np.eye(len(within))
    weights = np.linalg.solve(shrunk, (own - flat.mean(0)).T).T
    np.testing.assert_allclose(probe.weights, weights, rtol=1e-3, atol=1e-4)
    counts = np.array([(classes == each).sum() for each in range(CLASSES)])
    np.testing.assert_allclose(probe.priors, np.log(counts / counts.sum()))


def test_classes_that_lie_on_points_are_told_apart() -> None:
    # Nothing varies within a class, and what is left of the scatter is rounding, of either sign.
    centres = 1e3 + torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % CLASSES
    probe, _ = fitted(centres[labels][:, None], labels)
    sums = sums_by_sample(centres[:, None], probe.centre)
    assert probe.classes_of(sums).tolist() == list(range(CLASSES))


@pytest.mark.parametrize(
    ("rows", "labels", "reason"),
    [
        (drawn(20)[0], torch.zeros(20, dtype=torch.int64), "fewer than two classes"),
        (torch.ones(20, 2, 6), torch.arange(20) % 2, "all the same"),
    ],
)
def test_it_says_why_there_is_none(rows: Tensor, labels: Tensor, reason: str) -> None:
    sums = ClassSums.about(near_mean(rows), CLASSES)
    sums.add(sums_by_sample(rows, sums.centre), labels)
    found = discriminant(sums, Moments.zeros(6).update(rows))
    assert isinstance(found, str)
    assert reason in found


def test_a_class_that_never_came_is_never_said() -> None:
    rows, labels = drawn(60)
    probe, _ = fitted(rows, labels.where(labels != 2, 1))
    assert 2 not in probe.classes_of(sums_by_sample(rows, probe.centre))


def test_sums_leave_out_padding_and_samples_with_nan() -> None:
    rows, _ = drawn(10)
    rows[3, 1, 2] = torch.nan
    keep = torch.ones(10, 3, dtype=torch.bool)
    keep[4, 1:] = False
    keep[5] = False
    centre = near_mean(rows[:3])
    found = sums_by_sample(rows, centre, keep=keep)
    assert found.counts.tolist() == [3, 3, 3, 3, 1, 0, 3, 3, 3, 3]
    assert found.usable.tolist() == [True] * 3 + [False, True, False] + [True] * 4
    np.testing.assert_allclose(found.sums[4], rows[4, 0].double() - centre.double(), rtol=1e-6)
    # The same rows one after the other, as packed sequences have them.
    flat, owners = rows.flatten(0, 1), torch.arange(10).repeat_interleave(3)
    packed = sums_by_sample(flat, centre, keep=keep.flatten(), owners=owners, samples=10)
    torch.testing.assert_close(packed.sums, found.sums, equal_nan=True, rtol=1e-5, atol=1e-5)
    assert torch.equal(packed.counts, found.counts)


def test_sums_of_large_means_keep_their_digits() -> None:
    rows, _ = drawn(8, each=500, offset=1e4)
    found = sums_by_sample(rows, near_mean(rows))
    means = found.sums / found.counts[:, None] + near_mean(rows).double()
    spread = rows.double().std((0, 1))
    assert ((means - rows.double().mean(1)).abs() / spread).max() < 1e-6


def test_a_feature_map_is_summed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.randn(9, 5, 4, 4).movedim(1, -1)
    centre = near_mean(maps)
    whole = sums_by_sample(maps, centre)
    monkeypatch.setattr("fathom.spectral.classes._BLOCK_NUMBERS", 200)
    torch.testing.assert_close(sums_by_sample(maps, centre).sums, whole.sums)
    np.testing.assert_allclose(
        whole.sums, (maps.double() - centre.double()).sum((1, 2)), rtol=1e-5, atol=1e-5
    )


def test_sums_go_through_a_state() -> None:
    rows, labels = drawn(12)
    sums = ClassSums.about(near_mean(rows), CLASSES)
    sums.add(sums_by_sample(rows, sums.centre), labels)
    again = ClassSums.of_state(sums.state())
    sums.add(SampleSums(torch.ones(1, 6).double(), torch.ones(1).double()), torch.tensor([0]))
    assert again.counts.sum() == 36
    assert sums.counts.sum() == 37
