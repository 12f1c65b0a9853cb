import numpy as np
import pytest
import torch

from fathom.experiments.data.batches import augmented, normalised


def pictures(count: int, *, height: int = 32, width: int = 32) -> torch.Tensor:
    numbers = np.random.default_rng(0).integers(1, 256, (count, 3, height, width))
    return torch.from_numpy(numbers.astype(np.uint8))


def test_normalised_is_the_formula() -> None:
    pixels = pictures(2)
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    deviation = np.array([0.229, 0.224, 0.225])[:, None, None]
    got = normalised(pixels)
    assert got.dtype is torch.float32
    np.testing.assert_allclose(got, (pixels.double().numpy() / 255 - mean) / deviation, atol=1e-5)


def every_crop(picture: np.ndarray, *, flips: bool) -> dict[bytes, tuple[int, int, bool]]:
    height, width = picture.shape[1:]
    framed = np.pad(picture, ((0, 0), (4, 4), (4, 4)))
    crops = {}
    for mirrored in (False, True) if flips else (False,):
        for row in range(9):
            for column in range(9):
                crop = framed[:, row : row + height, column : column + width]
                crops[(crop[:, :, ::-1] if mirrored else crop).tobytes()] = (row, column, mirrored)
    return crops


@pytest.mark.parametrize("flips", [False, True])
def test_augmented_pictures_are_crops_of_their_own_frame(flips: bool) -> None:
    pixels = pictures(400, height=6, width=5)
    got = augmented(pixels, torch.Generator().manual_seed(1), flips=flips)
    assert (got.dtype, got.shape) == (torch.uint8, pixels.shape)
    assert got.is_contiguous()
    found = [
        every_crop(before, flips=flips)[after.tobytes()]
        for before, after in zip(pixels.numpy(), got.numpy(), strict=True)
    ]
    rows, columns, mirrored = (set(each) for each in zip(*found, strict=True))
    assert rows == columns == set(range(9))
    assert mirrored == ({False, True} if flips else {False})
    # Rows, columns and mirrors are drawn apart: nothing follows from another.
    assert abs(np.corrcoef([each[0] for each in found], [each[1] for each in found])[0, 1]) < 0.2
    if flips:
        assert 0.4 < np.mean([each[2] for each in found]) < 0.6


def test_augmented_goes_on_from_the_state_of_its_generator_alone() -> None:
    pixels = pictures(50)
    generator = torch.Generator().manual_seed(3)
    augmented(pixels, generator, flips=True)
    state, globally = generator.get_state(), torch.get_rng_state()
    first = augmented(pixels, generator, flips=True)
    torch.manual_seed(9)
    resumed = torch.Generator()
    resumed.set_state(state)
    assert torch.equal(augmented(pixels, resumed, flips=True), first)
    assert torch.equal(generator.get_state(), resumed.get_state())
    torch.set_rng_state(globally)
    augmented(pixels, generator, flips=True)
    assert torch.equal(torch.get_rng_state(), globally)
