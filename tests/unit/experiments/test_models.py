"""What holds for every architecture of the experiments."""

import copy
import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fathom
from fathom.errors import ArgumentError
from fathom.experiments.models.build import ARCHITECTURES, architecture, build

# Inception-v3 at 299 pixels takes seconds: test_models_autoencoder.py has it.
QUICK = [name for name in ARCHITECTURES if name != "autoencoder-inception"]
SHAPE = (3, 32, 32)


def thin(name: str, *, classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    width = 8 if architecture(name).units else 1 / 16
    return build(name, width=width, classes=classes, shape=SHAPE)


def pictures(count: int = 8) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def loss(name: str, model: nn.Module, images: Tensor) -> Tensor:
    if architecture(name).reconstructs:
        return functional.mse_loss(model(images), images)
    return functional.cross_entropy(model(images), torch.arange(len(images)) % 10)


def test_the_issue_s_architectures_are_there() -> None:
    assert list(ARCHITECTURES) == [
        *("dense", "vgg11", "vgg13", "vgg16", "vgg19"),
        *("resnet18", "resnet34", "resnet18-stride1", "resnet34-stride1"),
        *("autoencoder", "autoencoder-inception"),
    ]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("classes", [2, 7])
def test_logits_are_of_the_classes_and_pictures_of_the_pictures(name: str, classes: int) -> None:
    with torch.no_grad():
        output = thin(name, classes=classes)(pictures(4))
    assert output.shape == ((4, *SHAPE) if architecture(name).reconstructs else (4, classes))
    assert output.isfinite().all()


@pytest.mark.parametrize("name", QUICK)
def test_a_step_of_adam_lowers_the_loss(name: str) -> None:
    model, images = thin(name), pictures()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    before = loss(name, model, images)
    before.backward()
    assert all(each.grad is not None for each in model.parameters())
    optimiser.step()
    assert loss(name, model, images).item() < before.item()


@pytest.mark.parametrize("name", QUICK)
def test_the_output_layer_is_watched_last_and_the_focus_is_watched(
    name: str, tmp_path: Path
) -> None:
    model = thin(name)
    with fathom.watch(model, tmp_path / "run") as monitor:
        model(pictures(2))
        layers = monitor.layers
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    assert sorted(layers) == sorted(
        inner for inner, module in model.named_modules() if isinstance(module, kinds)
    )
    assert layers[-1] in ("output", "classifier.2", "fc", "decoder.7")
    assert architecture(name).focus in ("", *layers)


@pytest.mark.parametrize("name", QUICK)
def test_it_comes_back_from_a_pickle_and_from_its_state(name: str) -> None:
    model = thin(name)
    model(pictures())  # So that batch normalisation has seen something.
    other = build(name, width=8 if architecture(name).units else 1 / 16, classes=10, shape=SHAPE)
    assert not torch.equal(model.eval()(pictures()), other.eval()(pictures()))
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    for found in (other, pickle.loads(pickle.dumps(model))):
        assert torch.equal(found(pictures()), model(pictures()))


@pytest.mark.parametrize("name", QUICK)
def test_a_seed_decides_the_weights(name: str) -> None:
    first, second = thin(name).state_dict(), thin(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_weights_come_from_torch_s_global_generator() -> None:
    torch.manual_seed(3)
    first = build("vgg11", width=1 / 16, classes=2, shape=SHAPE)
    second = build("vgg11", width=1 / 16, classes=2, shape=SHAPE)
    assert not torch.equal(
        first.get_parameter("features.0.weight"), second.get_parameter("features.0.weight")
    )


@pytest.mark.parametrize("name", QUICK)
def test_no_gradient_is_of_a_kind_that_cuda_cannot_repeat(name: str) -> None:
    # torch.use_deterministic_algorithms refuses these on a GPU.
    refused = ("AdaptiveAvgPool", "AdaptiveMaxPool", "Upsample", "Pad", "NllLoss", "GridSampler")
    model = thin(name)
    found = set(_kinds(model(pictures(2)).grad_fn))
    assert "AccumulateGrad" in found
    assert not [kind for kind in found if kind.startswith(refused)]


def _kinds(root: torch.autograd.graph.Node | None) -> Iterator[str]:
    seen, open_ends = set(), [root]
    while open_ends:
        node = open_ends.pop()
        if node is not None and node not in seen:
            seen.add(node)
            open_ends += [after for after, _ in node.next_functions]
            yield node.name().rpartition("::")[2]


def test_an_unknown_architecture_names_near_ones() -> None:
    with pytest.raises(ArgumentError, match=r"model must be known, got 'vgg15'.*vgg1"):
        build("vgg15", width=1, classes=10, shape=SHAPE)


@pytest.mark.parametrize("width", [0, -1, 4.5, math.inf, math.nan])
def test_a_share_outside_its_rule_is_refused(width: float) -> None:
    with pytest.raises(ArgumentError, match=rf"resnet18: width must be a share.*got {width!r}"):
        build("resnet18", width=width, classes=10, shape=SHAPE)


@pytest.mark.parametrize("name", ["dense", "autoencoder", "autoencoder-inception"])
@pytest.mark.parametrize("width", [0, 0.5, 8.5, math.inf, math.nan])
def test_units_outside_their_rule_are_refused(name: str, width: float) -> None:
    with pytest.raises(ArgumentError, match=rf"{name}: width must be a whole.*got {width!r}"):
        build(name, width=width, classes=10, shape=SHAPE)
