"""VGGs and ResNets: that they are those that were published."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fathom
from fathom.errors import ArgumentError
from fathom.experiments.models.build import build
from fathom.experiments.models.convolutions import channels
from fathom.experiments.models.resnet import ResNet
from fathom.experiments.models.vgg import VGG

SHAPE = (3, 32, 32)


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


def layers(model: nn.Module, path: Path) -> list[str]:
    with fathom.watch(model, path) as monitor:
        model(torch.randn(2, *SHAPE))
        return monitor.layers


# Of the published networks with batch normalisation, without their three fully connected layers.
@pytest.mark.parametrize(
    ("depth", "count"), [(11, 9_225_984), (13, 9_410_880), (16, 14_723_136), (19, 20_035_392)]
)
def test_the_convolutions_of_a_vgg_have_the_published_count(depth: int, count: int) -> None:
    with torch.device("meta"):
        model = VGG(depth, 1.0, 10, SHAPE)
    assert parameters(model.features) == count
    assert parameters(model.classifier) == 512 * 512 + 512 + 512 * 10 + 10
    convolutions = sum(isinstance(each, nn.Conv2d) for each in model.modules())
    assert convolutions + 3 == depth


@pytest.mark.parametrize(("depth", "count"), [(18, 11_689_512), (34, 21_797_672)])
@pytest.mark.parametrize("name", ["resnet{}", "resnet{}-stride1"])
def test_a_resnet_has_the_published_count(depth: int, count: int, name: str) -> None:
    with torch.device("meta"):
        model = build(name.format(depth), width=1, classes=1000, shape=SHAPE)
    assert parameters(model) == count


@pytest.mark.parametrize("share", [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])
@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_all_twenty_vgg_of_the_paper_have_their_widths(depth: int, share: float) -> None:
    with torch.device("meta"):
        model = build(f"vgg{depth}", width=share, classes=10, shape=SHAPE)
    widths = [each.out_channels for each in model.modules() if isinstance(each, nn.Conv2d)]
    assert list(dict.fromkeys(widths)) == [int(own * share) for own in (64, 128, 256, 512)]
    linear = [each for each in model.modules() if isinstance(each, nn.Linear)]
    last = int(512 * share)
    assert [(each.in_features, each.out_features) for each in linear] == [(last, last), (last, 10)]


def test_a_share_is_rounded_and_leaves_a_channel() -> None:
    assert [channels(64, share=share) for share in (1 / 3, 0.35, 1e-3, 4.0)] == [21, 22, 1, 256]


def test_the_layers_of_a_vgg_are_watched_as_they_run(tmp_path: Path) -> None:
    model = build("vgg11", width=1 / 16, classes=10, shape=SHAPE)
    assert layers(model, tmp_path / "run") == [
        *(f"features.{place}" for place in (0, 4, 8, 11, 15, 18, 22, 25)),
        *("classifier.0", "classifier.2"),
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet18-stride1"])
def test_the_layers_of_a_resnet_are_watched_as_they_run(name: str, tmp_path: Path) -> None:
    model = build(name, width=1 / 16, classes=10, shape=SHAPE)
    expected = ["conv1"]
    for stage in (1, 2, 3, 4):
        first, second = f"layer{stage}.0", f"layer{stage}.1"
        expected += [f"{first}.conv1", f"{first}.conv2"]
        expected += [f"{first}.downsample.0"] if stage > 1 else []
        expected += [f"{second}.conv1", f"{second}.conv2"]
    assert layers(model, tmp_path / "run") == [*expected, "fc"]


def test_early_downsampling_is_all_that_differs() -> None:
    sizes: dict[bool, list[int]] = {True: [], False: []}
    names = []
    for downsample, found in sizes.items():
        model = ResNet(18, 1 / 16, 10, SHAPE, downsample=downsample)
        for each in (model.conv1, model.layer1, model.layer2, model.layer3, model.layer4):
            each.register_forward_hook(lambda _, __, maps, to=found: to.append(maps.shape[-1]))
        model(torch.randn(2, *SHAPE))
        names.append({name: each.shape for name, each in model.state_dict().items()})
    assert sizes == {True: [16, 8, 4, 2, 1], False: [32, 32, 16, 8, 4]}
    assert names[0] == names[1]


@pytest.mark.parametrize("depth", [18, 34])
@pytest.mark.parametrize("downsample", [True, False])
def test_a_resnet_computes_what_its_paper_says(depth: int, downsample: bool) -> None:
    torch.manual_seed(0)
    model = ResNet(depth, 1 / 16, 10, SHAPE, downsample=downsample).double()
    images = torch.randn(4, *SHAPE, dtype=torch.float64)
    model(images)  # So that batch normalisation has seen something.
    state = model.state_dict()

    def normalised(maps: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        found: Tensor = (maps - mean) / (variance + 1e-5).sqrt() * weight + bias
        return found

    def convolved(maps: Tensor, name: str, stride: int) -> Tensor:
        weight = state[f"{name}.weight"]
        found: Tensor = functional.conv2d(
            maps, weight, stride=stride, padding=weight.shape[-1] // 2
        )
        return found

    maps = normalised(convolved(images, "conv1", 2 if downsample else 1), "bn1").relu()
    if downsample:
        maps = functional.max_pool2d(maps, 3, 2, 1)
    for stage, count in enumerate((2, 2, 2, 2) if depth == 18 else (3, 4, 6, 3), start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            inner = normalised(convolved(maps, f"{name}.conv1", stride), f"{name}.bn1").relu()
            inner = normalised(convolved(inner, f"{name}.conv2", 1), f"{name}.bn2")
            if stride == 2:
                maps = convolved(maps, f"{name}.downsample.0", 2)
                maps = normalised(maps, f"{name}.downsample.1")
            maps = (inner + maps).relu()
    expected = maps.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    torch.testing.assert_close(model.eval()(images), expected)


@pytest.mark.parametrize("name", ["vgg13", "resnet18"])
def test_convolutions_begin_as_he_et_al_say(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, width=1 / 2, classes=10, shape=SHAPE)
    found = [each for each in model.modules() if isinstance(each, nn.Conv2d)]
    for each in found:
        variance = 2 / (each.kernel_size[0] ** 2 * each.out_channels)
        assert each.weight.var().item() == pytest.approx(variance, rel=0.15)
        assert each.bias is None or not each.bias.any()
    assert len(found) > 9


@pytest.mark.parametrize("shape", [(3, 32, 31), (3, 16, 32)])
def test_pictures_that_the_poolings_would_use_up_are_refused(shape: tuple[int, int, int]) -> None:
    size = rf"{shape[1]}×{shape[2]}"
    with pytest.raises(ArgumentError, match=rf"vgg16: pictures must have 32×32.*got {size}"):
        build("vgg16", width=1, classes=10, shape=shape)


@pytest.mark.parametrize("name", ["vgg11", "resnet18"])
def test_larger_and_grey_pictures_are_taken(name: str) -> None:
    model = build(name, width=1 / 16, classes=3, shape=(1, 64, 48))
    assert model(torch.randn(2, 1, 64, 48)).shape == (2, 3)
