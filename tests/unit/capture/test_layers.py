from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D as HuggingFaceConv1D

from fathom.capture.layers import Layer, known_layers
from fathom.capture.selection import LayerFilter, select_layers
from fathom.errors import LayerSelectionError
from fathom.settings import Settings


class Conv1D(nn.Module):
    """The linear layer of GPT-2, by name and attribute."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.zeros(nx, nf))


def zoo() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "linear": nn.Linear(3, 5),
            "conv1": nn.Conv1d(3, 6, 1),
            "conv2": nn.Conv2d(3, 7, 1),
            "conv3": nn.Conv3d(3, 8, 1),
            "up1": nn.ConvTranspose1d(3, 9, 1),
            "up2": nn.ConvTranspose2d(3, 10, 1),
            "up3": nn.ConvTranspose3d(3, 11, 1),
            "rnn": nn.RNN(3, 12),
            "lstm": nn.LSTM(3, 12, bidirectional=True),
            "projected": nn.LSTM(3, 12, proj_size=4),
            "gru": nn.GRU(3, 13),
            "attention": nn.MultiheadAttention(8, 2),
            "gpt": Conv1D(14, 3),
            "real_gpt": HuggingFaceConv1D(15, 3),  # type: ignore[no-untyped-call]
            "embedding": nn.Embedding(10, 4),
            "norm": nn.LayerNorm((6, 4)),
            "batch_norm": nn.BatchNorm2d(4),
            "group_norm": nn.GroupNorm(2, 4),
            "act": nn.ReLU(),
        }
    )


def small() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "features": nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
            "block": nn.ModuleDict({"norm": nn.LayerNorm(4), "fc": nn.Linear(4, 4)}),
            "tail": nn.ModuleDict({"norm": nn.LayerNorm(4)}),
            "embed": nn.Embedding(10, 4),
            "head": nn.Linear(4, 2),
        }
    )


def select(model: nn.Module, layers: LayerFilter | None, **settings: Any) -> list[Layer]:
    return select_layers(model, layers, Settings(**settings))


def names(model: nn.Module, layers: LayerFilter | None) -> list[str]:
    return [layer.facts.name for layer in select(model, layers)]


def test_known_layers_with_their_kinds_and_widths() -> None:
    facts = {f.name: (f.kind, f.module, f.width) for f in known_layers(zoo())}
    assert facts == {
        "linear": ("linear", "Linear", 5),
        "conv1": ("convolution", "Conv1d", 6),
        "conv2": ("convolution", "Conv2d", 7),
        "conv3": ("convolution", "Conv3d", 8),
        "up1": ("convolution", "ConvTranspose1d", 9),
        "up2": ("convolution", "ConvTranspose2d", 10),
        "up3": ("convolution", "ConvTranspose3d", 11),
        "rnn": ("recurrent", "RNN", 12),
        "lstm": ("recurrent", "LSTM", 24),
        "projected": ("recurrent", "LSTM", 4),
        "gru": ("recurrent", "GRU", 13),
        "attention": ("attention", "MultiheadAttention", 8),
        "gpt": ("linear", "Conv1D", 14),
        "real_gpt": ("linear", "Conv1D", 15),
    }
    assert names(zoo(), None) == list(facts)


@pytest.mark.parametrize(
    ("name", "kind", "width"),
    [
        ("embedding", "embedding", 4),
        ("norm", "normalisation", 4),
        ("batch_norm", "normalisation", 4),
        ("group_norm", "normalisation", 4),
        ("act", "other", None),
        ("attention.out_proj", "linear", 8),
    ],
)
def test_an_exact_name_takes_anything(name: str, kind: str, width: int | None) -> None:
    model = zoo()
    [layer] = select(model, [name])
    assert (layer.facts.name, layer.facts.kind, layer.facts.width) == (name, kind, width)
    assert layer.module is model.get_submodule(name)


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        (None, ["features.0", "block.fc", "head"]),
        (["*"], ["features.0", "block.fc", "head"]),
        ("*", ["features.0", "block.fc", "head"]),
        (["features.*"], ["features.0"]),
        (["*.norm"], ["block.norm", "tail.norm"]),
        (["block.*"], ["block.fc"]),
        (["head", "features.1"], ["features.1", "head"]),
        (["*", "!head"], ["features.0", "block.fc"]),
        (["*", "!*.fc", "!features.*"], ["head"]),
        (["*", "embed"], ["features.0", "block.fc", "embed", "head"]),
        (["*", "!head", "head"], ["features.0", "block.fc", "head"]),
        (["[bh]*"], ["block.fc", "head"]),
        (["h?ad", "head"], ["head"]),
        (("features.0",), ["features.0"]),
    ],
)
def test_patterns(layers: Any, chosen: list[str]) -> None:
    assert names(small(), layers) == chosen


def test_a_predicate_is_asked_of_every_module() -> None:
    asked: list[tuple[str, str]] = []

    def is_norm(name: str, module: nn.Module) -> bool:
        asked.append((name, type(module).__name__))
        return isinstance(module, nn.LayerNorm)

    assert names(small(), is_norm) == ["block.norm", "tail.norm"]
    assert ("", "ModuleDict") in asked
    assert ("embed", "Embedding") in asked
    assert names(small(), lambda name, _: name.startswith("features.")) == [
        "features.0",
        "features.1",
        "features.2",
    ]


def test_a_shared_module_is_one_layer_with_aliases() -> None:
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": nn.Linear(4, 4), "c": shared, "d": shared})
    first, second = select(model, None)
    assert (first.facts.name, first.facts.aliases) == ("a", ("c", "d"))
    assert (second.facts.name, second.facts.aliases) == ("b", ())
    assert names(model, ["c"]) == ["a"]
    assert names(model, ["[cd]"]) == ["a"]
    assert names(model, ["*", "!d"]) == ["b"]


def test_a_model_may_be_one_layer() -> None:
    model = nn.Linear(3, 4)
    [layer] = select(model, None)
    assert layer.module is model
    assert layer.facts.name == ""


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["haed"], r"got 'haed' .*Nearest names: head"),
        (["block.norn"], r"got 'block\.norn' .*Nearest names: .*block\.norm"),
        (["*", "zzz*"], r"got 'zzz\*' that matches none"),
        ("feature.0", r"got 'feature\.0' .*features\.0"),
        (["head", "!head"], r"got \['head', '!head'\]"),
        (["!head"], r"got \['!head'\]"),
        ([], r"got \[\]"),
        (lambda name, module: False, r"got a predicate that is true of none of 12\."),
    ],
)
def test_selecting_nothing_is_refused(layers: Any, message: str) -> None:
    with pytest.raises(LayerSelectionError, match=rf"^watch: layers must .*{message}"):
        names(small(), layers)


def test_nearest_names_fall_back_on_known_layers() -> None:
    with pytest.raises(LayerSelectionError, match=r"Nearest names: features\.0, block\.fc, head\."):
        names(small(), ["@@@@"])


def test_a_model_without_known_layers_is_refused() -> None:
    model = nn.Sequential(nn.ReLU(), nn.LayerNorm(3))
    with pytest.raises(LayerSelectionError, match=r"model must have .*got Sequential with none"):
        names(model, None)
    assert names(model, ["1"]) == ["1"]


def test_the_head_of_a_language_model_is_watched_unasked() -> None:
    with torch.device("meta"):
        model = nn.ModuleDict({"body": nn.Linear(4, 8), "lm_head": nn.Linear(4, 50_257)})
    assert names(model, None) == names(model, ["*"]) == ["body", "lm_head"]


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_lazy_modules_are_known_before_their_first_input() -> None:
    model = nn.Sequential(nn.LazyConv2d(6, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(7))
    facts = [(f.name, f.kind, f.width) for f in known_layers(model)]
    assert facts == [("0", "convolution", 6), ("2", "linear", 7)]
    [norm] = select(model, ["1"])
    assert (norm.facts.kind, norm.facts.width) == ("normalisation", None)
    model(torch.zeros(2, 3, 5, 5))
    [norm] = select(model, ["1"])
    assert norm.facts.width == 6


CHANNELS = {"positions": 3 * 16, "mean": 3, "max": 3, "median": 3, "flatten": 3}


@pytest.mark.parametrize(("conv", "count"), CHANNELS.items())
@pytest.mark.parametrize("name", ["conv", "norm"])
def test_a_convolution_is_read_as_the_settings_say(conv: str, count: int, name: str) -> None:
    model = nn.ModuleDict({"conv": nn.Conv2d(2, 5, 1), "norm": nn.BatchNorm2d(5)})
    [layer] = select(model, [name], conv=conv)
    rows = layer.read(torch.randn(3, 5, 4, 4), None, None)
    width = 80 if conv == "flatten" else 5
    assert rows.values.reshape(-1, width).shape == (count, width)
    assert rows.samples == 3
    words = {"positions": "position", "max": "maximum", "flatten": "map"}
    assert words.get(conv, conv) in layer.rows
    [layer] = select(model, [name], conv="flatten", downsample=2)
    assert layer.read(torch.randn(3, 5, 4, 4), None, None).values.shape == (3, 20)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_recurrent_layer_is_read_by_its_own_layout(batch_first: bool) -> None:
    module = nn.GRU(2, 5, batch_first=batch_first)
    output = module(torch.randn(3, 4, 2))
    samples, steps = (3, 4) if batch_first else (4, 3)
    [layer] = select(nn.ModuleDict({"gru": module}), None)
    rows = layer.read(layer.pick(output), None, None)
    assert rows.values.reshape(-1, 5).shape == (12, 5)
    assert (rows.samples, layer.rows) == (samples, "every time step")
    [layer] = select(nn.ModuleDict({"gru": module}), None, timesteps="last")
    rows = layer.read(layer.pick(output), 2, None)
    assert (rows.values.shape, rows.samples, layer.rows) == ((2, 5), 2, "last time step")
    assert steps * samples == 12


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer])
def test_the_parts_of_a_transformer_layer_are_read_by_its_layout(
    kind: type[nn.Module], batch_first: bool
) -> None:
    model = nn.Sequential(kind(8, 2, 16, batch_first=batch_first))
    samples = 3 if batch_first else 5
    for name in ("0.self_attn", "0.linear1", "0.norm1"):
        [layer] = select(model, [name])
        assert layer.read(torch.randn(3, 5, 8), None, None).samples == samples
        assert layer.read(torch.randn(3, 5, 8), 2, None).samples == 2
        rows = layer.read(torch.randn(3, 5, 8), 2, None)
        assert rows.values.shape[:-1].numel() == 2 * (15 // samples)
