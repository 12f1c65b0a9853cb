"""The autoencoders: that they reconstruct, and that Inception-v3 is the published one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fathom
from fathom.errors import ArgumentError
from fathom.experiments.models.autoencoder import Autoencoder
from fathom.experiments.models.build import build
from fathom.experiments.models.inception import Inception

SHAPE = (3, 32, 32)


def blobs(count: int) -> Tensor:
    """Bright spots at random places, as normalised pictures: mean 0, variance about 1."""
    places = torch.rand(count, 2, 1, 1, generator=torch.Generator().manual_seed(0)) * 20 + 6
    rows = torch.arange(32.0)[:, None] - places[:, 0]
    columns = torch.arange(32.0) - places[:, 1]
    found = torch.exp(-(rows**2 + columns**2) / 60)[:, None].expand(-1, 3, -1, -1)
    return (found - found.mean()) / found.std()


@pytest.mark.parametrize("units", [1, 8, 128])
def test_the_bottleneck_has_the_units(units: int) -> None:
    model = build("autoencoder", width=units, classes=10, shape=SHAPE)
    assert isinstance(model, Autoencoder)
    seen: list[Tensor] = []
    model.bottleneck.register_forward_hook(lambda _, __, output: seen.append(output))
    assert model(torch.randn(2, *SHAPE)).shape == (2, *SHAPE)
    assert seen[0].shape == (2, units)


def test_it_learns_to_reconstruct() -> None:
    torch.manual_seed(0)
    model = build("autoencoder", width=8, classes=10, shape=SHAPE)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = blobs(192)
    for batch in [each for _ in range(14) for each in images[:128].split(32)]:
        error = (model(batch) - batch).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    held_out = images[128:]
    with torch.no_grad():
        assert (model(held_out) - held_out).square().mean() < 0.2 * held_out.var()


def test_its_output_is_not_clamped() -> None:
    torch.manual_seed(0)
    model = build("autoencoder", width=8, classes=10, shape=SHAPE)
    images = torch.randn(4, *SHAPE)
    with torch.no_grad():
        before = model(images)
        for each in (model.get_parameter(f"decoder.7.{part}") for part in ("weight", "bias")):
            each.mul_(-100)
        torch.testing.assert_close(model(images), -100 * before)
    assert before.abs().max() > 0.02


@pytest.mark.parametrize("shape", [(1, 64, 32), (3, 40, 48)])
def test_other_sizes_come_back_as_they_went(shape: tuple[int, int, int]) -> None:
    model = build("autoencoder", width=4, classes=2, shape=shape)
    assert model(torch.randn(2, *shape)).shape == (2, *shape)


@pytest.mark.parametrize("name", ["autoencoder", "autoencoder-inception"])
def test_a_size_that_cannot_be_halved_thrice_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"{name}: pictures must have .* 8 .*got 32×28"):
        build(name, width=8, classes=10, shape=(3, 32, 28))


def test_inception_has_the_published_parameters() -> None:
    with torch.device("meta"):
        model = Inception(3)
    # 23,834,568 in all, of which 2,049,000 are of the output layer for 1,000 classes.
    assert sum(each.numel() for each in model.parameters()) == 23_834_568 - 2_049_000
    kinds = [type(each) for each in model.modules()]
    assert kinds.count(nn.Conv2d) == kinds.count(nn.BatchNorm2d) == 94
    assert {each.eps for each in model.modules() if isinstance(each, nn.BatchNorm2d)} == {1e-3}


def test_inception_is_watched_from_the_picture_to_the_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build("autoencoder-inception", width=16, classes=10, shape=SHAPE)
    assert isinstance(model, Autoencoder)
    maps: dict[str, tuple[int, ...]] = {}
    for name, stage in model.encoder.named_children():
        stage.register_forward_hook(
            lambda _, __, output, name=name: maps.update({name: tuple(output.shape[1:])})
        )
    images = torch.randn(1, *SHAPE)
    with fathom.watch(model, tmp_path / "run") as monitor:
        output = model(images)
        layers = monitor.layers
    assert output.shape == images.shape
    # Table 1 of the paper.
    assert maps == {
        "stem": (192, 35, 35),
        "mixed_5b": (256, 35, 35),
        **dict.fromkeys(("mixed_5c", "mixed_5d"), (288, 35, 35)),
        **dict.fromkeys((f"mixed_6{letter}" for letter in "abcde"), (768, 17, 17)),
        "mixed_7a": (1280, 8, 8),
        **dict.fromkeys(("mixed_7b", "mixed_7c"), (2048, 8, 8)),
    }
    assert layers[0] == "encoder.stem.0.conv"
    assert layers[94:] == ["bottleneck", "decoder.0", "decoder.3", "decoder.5", "decoder.7"]
    (output - images).square().mean().backward()
    assert all(each.grad is not None and each.grad.any() for each in model.encoder.parameters())
