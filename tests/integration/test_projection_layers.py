"""Every kind of layer and output is projected by the rows that were measured, in place of them."""

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import fathom
import reference
from fathom.capture.rows import main_output


def projected(rows: Tensor, dimension: int, of: Tensor | None = None) -> torch.Tensor:
    """(n, d) rows by the reference, on the directions of themselves or of others."""
    of = rows if of is None else of
    directions = reference.leading_directions(of, dimension)
    found = reference.projected(rows, directions, of.double().numpy().mean(0))
    return torch.from_numpy(found).float()


class Seen:
    """What a layer returns, before and while it is projected."""

    def __init__(self, model: nn.Module, x: Any, *, layer: str, dimension: int, **watch: Any):
        module = model.get_submodule(layer)
        model.eval()
        with torch.no_grad(), fathom.watch(model, layers=[layer], budget=None, **watch) as monitor:
            self.plain = self._output(model, module, x)
            with fathom.project(model, monitor) as projection:
                projection.dimensions = {layer: dimension}
                self.projected = self._output(model, module, x)

    def _output(self, model: nn.Module, module: nn.Module, x: Any) -> Any:
        seen: list[Any] = []
        handle = module.register_forward_hook(lambda m, args, output: seen.append(output))
        model(x)
        handle.remove()
        return seen[0]


@pytest.mark.parametrize("dimension", [2, 5])
@pytest.mark.parametrize("shape", [(30, 6), (8, 5, 6), (3, 4, 5, 6)])
def test_linear(shape: tuple[int, ...], dimension: int) -> None:
    torch.manual_seed(0)
    seen = Seen(nn.Sequential(nn.Linear(6, 7)), torch.randn(shape), layer="0", dimension=dimension)
    expected = projected(seen.plain.reshape(-1, 7), dimension).reshape(*shape[:-1], 7)
    assert torch.allclose(seen.projected, expected, atol=1e-5)


def test_a_single_vector() -> None:
    model = nn.Linear(6, 7)
    moments = fathom.Moments.zeros(7).update(model(torch.randn(40, 6)))
    x = torch.randn(6)
    with fathom.project(model, {"": moments}, threshold=0.7), torch.no_grad():
        single, several = model(x), model(x[None])
    assert single.shape == (7,)
    assert torch.allclose(single, several[0], atol=1e-6)


MAPS = [
    pytest.param(nn.Conv1d(2, 7, 3), (10, 2, 12), id="Conv1d"),
    pytest.param(nn.Conv2d(2, 7, 3), (10, 2, 6, 7), id="Conv2d"),
    pytest.param(nn.Conv3d(2, 7, 2), (10, 2, 4, 3, 5), id="Conv3d"),
    pytest.param(nn.ConvTranspose2d(2, 7, 3), (10, 2, 4, 5), id="ConvTranspose2d"),
    pytest.param(nn.Sequential(nn.Conv2d(2, 7, 1), nn.BatchNorm2d(7)), (10, 2, 4, 5), id="norm"),
]


@pytest.mark.parametrize(("module", "shape"), MAPS)
@pytest.mark.parametrize("dimension", [2, 5])
def test_maps_by_positions(module: nn.Module, shape: tuple[int, ...], dimension: int) -> None:
    layer = "0.1" if isinstance(module, nn.Sequential) else "0"
    torch.manual_seed(0)
    seen = Seen(nn.Sequential(module), torch.randn(shape), layer=layer, dimension=dimension)
    last = seen.plain.movedim(1, -1)
    expected = projected(last.reshape(-1, 7), dimension).reshape(last.shape).movedim(-1, 1)
    assert torch.allclose(seen.projected, expected, atol=1e-5)


def test_maps_with_their_channels_last_in_memory_stay_so() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 7, 3), nn.ReLU(inplace=True))
    x = torch.randn(10, 2, 6, 7).to(memory_format=torch.channels_last)
    moments = fathom.Moments.zeros(7).update(torch.randn(40, 7))
    with fathom.project(model, {"0": moments}, threshold=0.5), torch.no_grad():
        last = model.to(memory_format=torch.channels_last)(x)  # type: ignore[call-overload]
        first = model.to(memory_format=torch.contiguous_format)(x.contiguous())  # type: ignore[call-overload]
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(first, last, atol=1e-5)


def test_a_single_image() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 7, 3))
    moments = fathom.Moments.zeros(7).update(torch.randn(40, 7))
    x = torch.randn(2, 6, 7)
    with fathom.project(model, {"0": moments}, threshold=0.5), torch.no_grad():
        assert torch.allclose(model(x), model(x[None])[0], atol=1e-6)


def test_flattened_maps() -> None:
    torch.manual_seed(0)
    seen = Seen(
        nn.Sequential(nn.Conv2d(2, 3, 3)),
        torch.randn(40, 2, 5, 5),
        layer="0",
        dimension=4,
        conv="flatten",
    )
    expected = projected(seen.plain.reshape(40, 27), 4).reshape(40, 3, 3, 3)
    assert torch.allclose(seen.projected, expected, atol=1e-5)


def test_means_of_maps_are_projected_and_what_lies_about_them_stays() -> None:
    torch.manual_seed(0)
    seen = Seen(
        nn.Sequential(nn.Conv2d(2, 7, 3)),
        torch.randn(40, 2, 6, 6),
        layer="0",
        dimension=3,
        conv="mean",
    )
    means = seen.plain.mean((2, 3))
    assert torch.allclose(seen.projected.mean((2, 3)), projected(means, 3), atol=1e-5)
    about = [each - each.mean((2, 3), keepdim=True) for each in (seen.projected, seen.plain)]
    assert torch.allclose(about[0], about[1], atol=1e-5)


def test_maps_that_were_reduced_are_projected_at_every_position() -> None:
    torch.manual_seed(0)
    seen = Seen(
        nn.Sequential(nn.Conv2d(2, 7, 3)),
        torch.randn(20, 2, 10, 10),
        layer="0",
        dimension=3,
        downsample=4,
    )
    smaller = nn.functional.interpolate(seen.plain, size=4, mode="bilinear").movedim(1, -1)
    last = seen.plain.movedim(1, -1)
    expected = projected(last.reshape(-1, 7), 3, of=smaller.reshape(-1, 7)).reshape(last.shape)
    assert torch.allclose(seen.projected, expected.movedim(-1, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("watch", "words"),
    [
        ({"conv": "max"}, 'conv="max"'),
        ({"conv": "median"}, 'conv="median"'),
        ({"conv": "mean", "downsample": 2}, "downsample=2"),
        ({"conv": "flatten", "downsample": 2}, "downsample=2"),
        ({"timesteps": "last"}, 'timesteps="last"'),
    ],
)
def test_rows_that_do_not_say_the_output_are_refused(watch: dict[str, Any], words: str) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.memory = nn.Conv1d(2, 4, 1), nn.LSTM(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.convolution(x).sum() + self.memory(x.movedim(1, -1))[0].sum()  # type: ignore[no-any-return]

    model = Both().eval()
    name, other = ("memory", "convolution") if "timesteps" in watch else ("convolution", "memory")
    with fathom.watch(model, budget=None, **watch) as monitor:
        model(torch.randn(9, 2, 5))
        with pytest.raises(fathom.ArgumentError, match=f"layer {name} .*{words}"):
            fathom.project(model, monitor)
        assert fathom.project(model, monitor, layers=["*", f"!{name}"]).layers == [other]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_steps_are_projected_and_the_hidden_state_is_left(kind: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(kind(3, 6, bidirectional=True))
    seen = Seen(model, torch.randn(9, 4, 3), layer="0", dimension=5)
    assert type(seen.projected) is tuple
    expected = projected(seen.plain[0].reshape(-1, 12), 5).reshape(9, 4, 12)
    assert torch.allclose(seen.projected[0], expected, atol=1e-5)
    hidden, before = seen.projected[1], seen.plain[1]
    pairs = zip(hidden, before, strict=True) if kind is nn.LSTM else [(hidden, before)]
    assert all(torch.equal(*pair) for pair in pairs)


def test_packed_sequences_stay_packed_in_their_order() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([2, 5, 3, 4, 4])
    packed = pack_padded_sequence(
        torch.randn(5, 5, 3), lengths, batch_first=True, enforce_sorted=False
    )
    seen = Seen(nn.Sequential(nn.GRU(3, 6, batch_first=True)), packed, layer="0", dimension=2)
    found = seen.projected[0]
    assert isinstance(found, PackedSequence)
    assert torch.allclose(found.data, projected(seen.plain[0].data, 2), atol=1e-5)
    padded, told = pad_packed_sequence(found, batch_first=True)
    assert torch.equal(told, lengths)
    whole = pad_packed_sequence(seen.plain[0], batch_first=True)[0]
    assert torch.allclose(padded[1], projected(whole[1], 2, of=seen.plain[0].data), atol=1e-5)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]  # type: ignore[no-any-return]


def test_attention_keeps_its_weights() -> None:
    torch.manual_seed(0)
    seen = Seen(Attending(), torch.randn(8, 5, 6), layer="attention", dimension=2)
    expected = projected(seen.plain[0].reshape(-1, 6), 2).reshape(8, 5, 6)
    assert torch.allclose(seen.projected[0], expected, atol=1e-5)
    assert torch.equal(seen.projected[1], seen.plain[1])


class Pair(NamedTuple):
    states: Tensor
    others: Tensor


class Returning(nn.Module):
    """A layer that returns its rows in something else."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        rest = x.sum()
        made: dict[str, Any] = {
            "list": [x, rest],
            "named": Pair(x, rest),
            "dict": {"others": 3, "last_hidden_state": x, "logits": rest},
            "ordered": OrderedDict(first=x, second=rest),
        }
        if self.kind == "model output":
            from transformers.modeling_outputs import BaseModelOutput

            return BaseModelOutput(last_hidden_state=x, attentions=(rest,))
        return made[self.kind]


@pytest.mark.parametrize("kind", ["list", "named", "dict", "ordered", "model output"])
def test_outputs_keep_their_type_and_all_else(kind: str) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(Returning(kind)), torch.randn(30, 6)
    seen = Seen(model, x, layer="0", dimension=2)
    assert type(seen.projected) is type(seen.plain)
    assert torch.allclose(main_output(seen.projected), projected(x, 2), atol=1e-5)
    assert torch.equal(main_output(seen.plain), x)
    if kind == "model output":
        assert torch.equal(seen.projected.last_hidden_state, seen.projected[0])
        assert torch.equal(seen.projected.attentions[0], x.sum())
    elif kind == "dict":
        assert seen.projected == seen.plain | {"last_hidden_state": main_output(seen.projected)}
    else:
        values = seen.projected.values() if kind == "ordered" else seen.projected
        assert torch.equal(list(values)[1], x.sum())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_transformer_is_projected_though_it_has_a_fast_path() -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
    model = nn.TransformerEncoder(block, 2).eval()
    x, padding = torch.randn(8, 5, 6), torch.arange(5).expand(8, 5) >= 4
    with torch.no_grad(), fathom.watch(model, budget=None) as monitor:
        plain = model(x, src_key_padding_mask=padding)
        with fathom.project(model, monitor, layers=["*.linear1"], threshold=0.3) as projection:
            found = model(x, src_key_padding_mask=padding)
            projection.dimensions = projection.widths
            assert torch.allclose(model(x, src_key_padding_mask=padding), plain, atol=1e-5)
    assert found.shape == plain.shape
    assert not torch.allclose(found[:, :4], plain[:, :4], atol=1e-2)


def test_nested_sequences_are_projected_one_by_one() -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 7)
    parts = [torch.randn(length, 6) for length in (3, 5)]
    moments = fathom.Moments.zeros(7).update(torch.randn(40, 7))
    with fathom.project(model, {"": moments}, threshold=0.5), torch.no_grad():
        nested = model(torch.nested.nested_tensor(parts, layout=torch.jagged))
        alone = [model(part) for part in parts]
    for found, expected in zip(nested.unbind(), alone, strict=True):
        assert torch.allclose(found, expected, atol=1e-6)


def test_a_shared_layer_is_projected_at_each_call() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 6)
    model, x = nn.Sequential(layer, nn.Tanh(), layer).eval(), torch.randn(30, 6)
    with torch.no_grad(), fathom.watch(model, budget=None) as monitor:
        first: Tensor = layer(x)
        second: Tensor = layer(torch.tanh(first))
        model(x)
        moments = monitor.moments()["0"]
        with fathom.project(model, monitor) as projection:
            projection.dimensions = {"0": 2}
            found = model(x)
    assert int(moments.read) == 2 * 30 + 2 * 30
    both = torch.cat([first, second])
    middle = projected(first, 2, of=both)
    np.testing.assert_allclose(
        found, projected(layer(torch.tanh(middle)).detach(), 2, of=both), atol=1e-5
    )
