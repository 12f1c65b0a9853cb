"""What a probe sees of a layer: pooled maps, averaged sequences."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from fathom.analysis.features import features_of
from fathom.analysis.outputs import chosen_layers
from fathom.capture.layers import Layer
from fathom.errors import ShapeError

Array = NDArray[np.float64]


def layer_of(module: nn.Module) -> Layer:
    return chosen_layers(nn.Sequential(module), ["0"])[0]


def pooled(maps: Tensor) -> Array:
    """(b, 16 c): the mean of each of 4×4 windows, written out."""
    array = maps.double().numpy()
    height, width = array.shape[2:]
    out = np.zeros((*array.shape[:2], 4, 4))
    for i in range(4):
        for j in range(4):
            rows = slice(i * height // 4, -(-(i + 1) * height // 4))
            columns = slice(j * width // 4, -(-(j + 1) * width // 4))
            out[:, :, i, j] = array[:, :, rows, columns].mean((2, 3))
    return out.reshape(len(array), -1)


@pytest.mark.parametrize("side", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 7), (8, 8), (2, 8), (4, 3)])
def test_maps_are_pooled_to_four_by_four(side: tuple[int, int]) -> None:
    maps = torch.randn(3, 5, *side, generator=torch.Generator().manual_seed(0))
    values, copies = features_of(layer_of(nn.Conv2d(1, 5, 3)), maps, None)
    expected = pooled(maps)
    assert values.shape[1] * copies == 16 * 5 == expected.shape[1]
    # Each column as often as it stands in the pooled map, and no other.
    columns = sorted(map(tuple, np.repeat(values.numpy().T, copies, axis=0).tolist()))
    np.testing.assert_allclose(columns, sorted(map(tuple, expected.T.tolist())), atol=1e-6)


@pytest.mark.parametrize(
    ("module", "shape", "features"),
    [
        (nn.Conv1d(1, 3, 3), (2, 3, 9), 12),
        (nn.Conv3d(1, 3, 3), (2, 3, 5, 6, 7), 192),
        (nn.BatchNorm2d(3), (2, 3, 8, 8), 48),
        (nn.BatchNorm1d(3), (2, 3), 3),
        (nn.Linear(2, 3), (2, 3), 3),
        (nn.Linear(2, 3), (2, 7, 3), 3),
        (nn.Linear(2, 3), (2, 4, 5, 3), 3),
    ],
)
def test_there_is_a_row_a_sample(module: nn.Module, shape: tuple[int, ...], features: int) -> None:
    values, copies = features_of(layer_of(module), torch.randn(shape), None)
    assert values.shape == (2, features)
    assert copies == 1


def test_tokens_are_averaged_over_those_that_are_real() -> None:
    tokens = torch.randn(3, 5, 4)
    mask = torch.arange(5) < torch.tensor([[5], [2], [3]])
    values, _ = features_of(layer_of(nn.Linear(4, 4)), tokens, mask)
    for row, length in enumerate((5, 2, 3)):
        expected = tokens[row, :length].double().mean(0)
        np.testing.assert_allclose(values[row], expected, atol=1e-6)
    none, _ = features_of(layer_of(nn.Linear(4, 4)), tokens, torch.zeros(3, 5, dtype=torch.bool))
    assert none.isnan().all()


@pytest.mark.parametrize("batch_first", [True, False])
def test_padding_that_is_nan_is_not_seen(batch_first: bool) -> None:
    tokens = torch.randn(2, 4, 6)
    tokens[1, 2:] = torch.nan
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    module = nn.MultiheadAttention(6, 2, batch_first=batch_first)
    given = tokens if batch_first else tokens.transpose(0, 1)
    values, _ = features_of(layer_of(module), given, mask)
    np.testing.assert_allclose(values[0], tokens[0].mean(0), atol=1e-6)
    np.testing.assert_allclose(values[1], tokens[1, :2].mean(0), atol=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
def test_steps_of_a_recurrent_layer_are_averaged(batch_first: bool) -> None:
    steps = torch.randn(3, 5, 4)
    given = steps if batch_first else steps.transpose(0, 1)
    module = layer_of(nn.LSTM(4, 4, batch_first=batch_first))
    values, _ = features_of(module, given, None)
    np.testing.assert_allclose(values, steps.mean(1), atol=1e-6)
    lengths = torch.tensor([2, 5, 1])
    packed = pack_padded_sequence(given, lengths, batch_first=batch_first, enforce_sorted=False)
    values, _ = features_of(module, packed, None)
    for row, length in enumerate(lengths.tolist()):
        np.testing.assert_allclose(values[row], steps[row, :length].mean(0), atol=1e-6)


def test_what_is_kept_shares_no_memory_with_the_output() -> None:
    for module, shape in ((nn.Linear(4, 4), (2, 4)), (nn.Conv2d(1, 4, 3), (2, 4, 4, 4))):
        output = torch.ones(shape)
        values, _ = features_of(layer_of(module), output, None)
        output.zero_()
        assert (values == 1).all()


@pytest.mark.parametrize(
    ("module", "output", "words"),
    [
        (nn.Conv2d(1, 4, 3), torch.ones(4, 8, 8), r"\(b, c, \*space\), got \(4, 8, 8\)"),
        (nn.Conv2d(1, 4, 3), torch.ones(4, 4, 0, 8), r"none empty, got \(0, 8\)"),
        (nn.Linear(4, 4), "text", "must be a tensor, got str"),
        (nn.Linear(4, 4), torch.ones(2, 4).to_sparse(), "must be a strided tensor"),
    ],
)
def test_an_output_without_samples_is_refused(
    module: nn.Module, output: object, words: str
) -> None:
    with pytest.raises(ShapeError, match=words):
        features_of(layer_of(module), output, None)
