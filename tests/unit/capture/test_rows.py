from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from fathom.capture.rows import Rows, channels_second, features_last, main_output, recurrent
from fathom.errors import ShapeError

Array = NDArray[np.float64]
REDUCTIONS: dict[str, Callable[[Array], Any]] = {
    "mean": np.mean,
    "max": np.max,
    "median": np.median,
}


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_rows(rows: Rows, expected: Any, *, samples: int, width: int) -> None:
    """The same rows, in any order."""
    assert rows.samples == samples
    actual = rows.values.detach().reshape(-1, width).double().numpy()
    wanted = np.array(expected, dtype=np.float64).reshape(-1, width)
    assert actual.shape == wanted.shape
    actual, wanted = (array[np.lexsort(array.T)] for array in (actual, wanted))
    np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)


def conv_rows(maps: Array, method: str) -> list[Any]:
    """The rows of (b, c, *space), one by one."""
    rows: list[Any] = []
    for image in maps:
        if method == "positions":
            rows += [image[(slice(None), *place)] for place in np.ndindex(image.shape[1:])]
        elif method == "flatten":
            rows.append(image.ravel())
        else:
            rows.append([REDUCTIONS[method](channel) for channel in image])
    return rows


def conv_width(maps: Tensor, method: str) -> int:
    return maps[0].numel() if method == "flatten" else maps.shape[1]


@pytest.mark.parametrize("shape", [(5,), (3, 5), (3, 4, 5), (3, 4, 2, 5)])
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 99])
def test_every_leading_position_of_a_linear_output_is_a_row(
    shape: tuple[int, ...], limit: int | None
) -> None:
    output = random(*shape)
    samples = output[None] if len(shape) == 1 else output
    taken = samples.numpy()[:limit]
    expected = [taken[place] for place in np.ndindex(taken.shape[:-1])]
    assert_rows(features_last(output, limit), expected, samples=len(taken), width=5)


@pytest.mark.parametrize("limit", [None, 2])
def test_attention_output_is_the_first_of_a_tuple(limit: int | None) -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = random(3, 5, 8)
    output = attention(tokens, tokens, tokens)
    expected = output[0].detach()[:limit].reshape(-1, 8)
    rows = features_last(main_output(output), limit)
    assert_rows(rows, expected.numpy(), samples=limit or 3, width=8)


def test_samples_of_a_sequence_first_output_lie_on_axis_1() -> None:
    output = random(4, 3, 5)
    expected = [output[t, b].numpy() for b in range(2) for t in range(4)]
    assert_rows(features_last(output, 2, batch_axis=1), expected, samples=2, width=5)
    flat = features_last(output[0], 2, batch_axis=1)
    assert_rows(flat, output[0, :2].numpy(), samples=2, width=5)


@pytest.mark.parametrize("shape", [(0, 5), (0, 4, 5), (3, 0, 5)])
def test_an_empty_linear_output_gives_no_rows(shape: tuple[int, ...]) -> None:
    rows = features_last(torch.zeros(shape))
    assert rows.values.reshape(-1, 5).shape == (0, 5)
    assert rows.samples == shape[0]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.tensor(1.0), r"\(\.\.\., d\).*got \(\)"),
        (None, "must be a tensor, got NoneType"),
        ([torch.zeros(2)], "must be a tensor, got list"),
        ((), "must be a tensor, got tuple"),
        ((None, torch.zeros(2)), "must be a tensor, got tuple"),
        (torch.zeros(2, 3).to_sparse(), "strided tensor, got layout torch.sparse_coo"),
    ],
)
def test_outputs_that_hold_no_features_are_refused(output: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        features_last(output)


def test_an_output_of_no_features_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(3, 0\)"):
        features_last(torch.zeros(3, 0))


@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
@pytest.mark.parametrize(
    "shape", [(3, 2, 6), (3, 2, 5), (3, 2, 4, 3), (3, 2, 3, 3), (3, 2, 2, 3, 2)]
)
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 99])
def test_rows_of_feature_maps(method: str, shape: tuple[int, ...], limit: int | None) -> None:
    maps = random(*shape)
    rows = channels_second(maps, limit, space=len(shape) - 2, method=method)
    expected = conv_rows(maps.double().numpy()[:limit], method)
    samples = len(maps[:limit])
    assert_rows(rows, expected, samples=samples, width=conv_width(maps, method))


@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
@pytest.mark.parametrize("shape", [(2, 6), (2, 4, 3), (2, 2, 3, 2)])
def test_rows_of_an_unbatched_map(method: str, shape: tuple[int, ...]) -> None:
    image = random(*shape)
    rows = channels_second(image, space=len(shape) - 1, method=method)
    expected = conv_rows(image[None].double().numpy(), method)
    assert_rows(rows, expected, samples=1, width=conv_width(image[None], method))


def test_the_rows_of_a_map_are_its_positions_unless_told() -> None:
    maps = random(2, 3, 4, 4)
    expected = conv_rows(maps.double().numpy(), "positions")
    assert_rows(channels_second(maps), expected, samples=2, width=3)


def test_the_median_of_an_even_count_is_the_average_of_the_middle_two() -> None:
    maps = torch.tensor([[[5.0, 1.0, 2.0, 9.0]]])
    assert channels_second(maps, space=1, method="median").values.tolist() == [[3.5]]


def test_rows_without_positions_are_the_samples() -> None:
    output = random(6, 4)
    assert_rows(channels_second(output), output.numpy(), samples=6, width=4)


@pytest.mark.parametrize("method", ["positions", "mean", "max", "median", "flatten"])
@pytest.mark.parametrize("downsample", [None, 2])
def test_an_empty_batch_of_maps_gives_no_rows(method: str, downsample: int | None) -> None:
    maps = torch.zeros(0, 3, 8, 8)
    rows = channels_second(maps, space=2, method=method, downsample=downsample)
    side = downsample or 8
    assert rows.values.shape == (0, 3 * side * side if method == "flatten" else 3)
    assert rows.samples == 0


@pytest.mark.parametrize(
    ("shape", "side", "smaller", "mode"),
    [
        ((3, 2, 9), 4, (4,), "linear"),
        ((3, 2, 9, 7), 4, (4, 4), "bilinear"),
        ((3, 2, 9, 3), 4, (4, 3), "bilinear"),
        ((3, 2, 6, 5, 7), 3, (3, 3, 3), "trilinear"),
    ],
)
@pytest.mark.parametrize("method", ["positions", "mean", "median", "flatten"])
def test_downsampling_is_linear_interpolation(
    shape: tuple[int, ...], side: int, smaller: tuple[int, ...], mode: str, method: str
) -> None:
    maps = random(*shape)
    reduced = interpolate(maps, size=smaller, mode=mode, align_corners=False)
    rows = channels_second(maps, 2, space=len(shape) - 2, method=method, downsample=side)
    expected = conv_rows(reduced[:2].double().numpy(), method)
    assert_rows(rows, expected, samples=2, width=conv_width(reduced, method))


@pytest.mark.parametrize("side", [8, 100])
def test_maps_that_are_small_enough_stay_as_they_are(side: int) -> None:
    maps = random(2, 3, 8, 8)
    rows = channels_second(maps, method="flatten", downsample=side).values
    assert torch.equal(rows, maps.flatten(1))


@pytest.mark.parametrize("method", ["mean", "median", "positions"])
def test_half_precision_maps_are_pooled_in_float32(method: str) -> None:
    maps = random(2, 3, 8, 8).add(50).bfloat16()
    rows = channels_second(maps, method=method, downsample=4)
    assert rows.values.dtype == torch.float32
    reduced = interpolate(maps.float(), size=(4, 4), mode="bilinear")
    expected = conv_rows(reduced.double().numpy(), method)
    assert_rows(rows, expected, samples=2, width=3)


@pytest.mark.parametrize(("shape", "space"), [((3, 4), 2), ((3, 4, 5, 6, 7), 2), ((3,), None)])
def test_maps_of_another_number_of_dimensions_are_refused(
    shape: tuple[int, ...], space: int | None
) -> None:
    text = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    with pytest.raises(ShapeError, match=rf"rows: output must .*got \({text}\)\."):
        channels_second(torch.zeros(shape), space=space)


def test_downsampling_more_than_three_dimensions_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"rows: space to downsample must .*got \(3, 3, 3, 3\)"):
        channels_second(torch.zeros(1, 2, 3, 3, 3, 3), downsample=2)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("timesteps", ["all", "last"])
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 99])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_rows_of_sequences(
    kind: type[nn.RNNBase], batch_first: bool, timesteps: str, limit: int | None
) -> None:
    torch.manual_seed(0)
    module = kind(3, 4, batch_first=batch_first, bidirectional=True)  # type: ignore[call-arg, arg-type]
    output = module(random(5, 7, 3))
    sequences = output[0].detach() if batch_first else output[0].detach().transpose(0, 1)
    steps = range(sequences.shape[1]) if timesteps == "all" else [sequences.shape[1] - 1]
    expected = [sequence[t].numpy() for sequence in sequences[:limit] for t in steps]
    rows = recurrent(output[0], limit, batch_first=batch_first, timesteps=timesteps)
    assert_rows(rows, expected, samples=len(sequences[:limit]), width=8)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("timesteps", ["all", "last"])
def test_rows_of_a_single_sequence(batch_first: bool, timesteps: str) -> None:
    torch.manual_seed(0)
    output = nn.GRU(3, 4, batch_first=batch_first)(random(6, 3))
    expected = output[0].detach() if timesteps == "all" else output[0].detach()[-1:]
    rows = recurrent(output[0], batch_first=batch_first, timesteps=timesteps)
    assert_rows(rows, expected.numpy(), samples=1, width=4)


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_empty_batch_of_sequences_gives_no_rows(batch_first: bool) -> None:
    shape = (0, 5, 4) if batch_first else (5, 0, 4)
    for timesteps in ("all", "last"):
        rows = recurrent(torch.zeros(shape), batch_first=batch_first, timesteps=timesteps)
        assert rows.values.reshape(-1, 4).shape == (0, 4)
        assert rows.samples == 0


LENGTHS = [2, 5, 1, 5, 3]


def packed_run() -> tuple[tuple[PackedSequence, Tensor], list[Tensor]]:
    """A packed run of unsorted sequences, and each sequence run alone."""
    torch.manual_seed(0)
    module = nn.GRU(3, 4)
    sequences = [random(length, 3) * (place + 1) for place, length in enumerate(LENGTHS)]
    alone = [module(sequence)[0].detach() for sequence in sequences]
    return module(pack_sequence(sequences, enforce_sorted=False)), alone


@pytest.mark.parametrize("timesteps", ["all", "last"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_sequences_count_by_their_true_lengths(timesteps: str, batch_first: bool) -> None:
    output, alone = packed_run()
    steps = torch.cat([one if timesteps == "all" else one[-1:] for one in alone])
    assert len(steps) == (sum(LENGTHS) if timesteps == "all" else len(LENGTHS))
    rows = recurrent(output[0], batch_first=batch_first, timesteps=timesteps)
    assert_rows(rows, steps.numpy(), samples=len(LENGTHS), width=4)


@pytest.mark.parametrize("timesteps", ["all", "last"])
@pytest.mark.parametrize("limit", [0, 1, 2, 3, 99])
def test_a_limit_on_packed_sequences_takes_whole_ones(timesteps: str, limit: int) -> None:
    output, alone = packed_run()
    # A packed batch holds the longest first.
    order = output[0].sorted_indices
    assert order is not None
    taken = [alone[place] for place in order.tolist()[:limit]]
    expected = [one if timesteps == "all" else one[-1:] for one in taken]
    rows = recurrent(output[0], limit, timesteps=timesteps)
    joined = torch.cat([torch.empty(0, 4), *expected])
    assert_rows(rows, joined.numpy(), samples=len(taken), width=4)


def test_a_packed_batch_of_equal_lengths_is_an_ordinary_one() -> None:
    torch.manual_seed(0)
    module = nn.RNN(3, 4, batch_first=True)
    batch = random(4, 6, 3)
    packed = module(pack_padded_sequence(batch, [6] * 4, batch_first=True))
    plain = recurrent(module(batch)[0], batch_first=True)
    assert_rows(recurrent(packed[0]), plain.values.detach().numpy(), samples=4, width=4)
