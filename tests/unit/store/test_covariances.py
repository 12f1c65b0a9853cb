"""Covariance files: whole or not there at all, and checked when they are read."""

from pathlib import Path

import numpy as np
import pytest
import torch

import reference
from fathom.errors import DamagedRecordError, RunNotFoundError
from fathom.spectral.moments import Moments
from fathom.store.covariances import (
    FOLDER,
    read_covariances,
    remove_covariances,
    write_covariances,
)


def moments(width: int = 5, *, seed: int = 0) -> Moments:
    return Moments.zeros(width).update(rows(width, seed=seed))


def rows(width: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 + torch.randn(200, width, dtype=torch.float64, generator=generator)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def test_covariances_and_means_come_back_to_the_bit(tmp_path: Path) -> None:
    measured = {("train", "a.b"): moments(3, seed=1), ("eval", "a.b"): moments(3, seed=2)}
    kept = write_covariances(tmp_path, 7, measured)
    for (phase, layer), wanted in measured.items():
        covariance, mean = read_covariances(tmp_path, kept, phase, [layer])[layer]
        assert torch.equal(covariance, wanted.covariance())
        assert torch.equal(mean, wanted.mean)


def test_a_covariance_file_holds_the_reference(tmp_path: Path) -> None:
    kept = write_covariances(tmp_path, 0, {("eval", "a"): moments(5)})
    covariance, mean = read_covariances(tmp_path, kept, "eval", ["a"])["a"]
    np.testing.assert_allclose(covariance, reference.covariance(rows(5)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mean, rows(5).mean(0), rtol=1e-12)
    assert covariance.dtype == mean.dtype == torch.float64


def test_one_file_a_step_and_nothing_unfinished(tmp_path: Path) -> None:
    for step in (0, 1, 12):
        write_covariances(tmp_path, step, {("eval", "a"): moments()})
    assert files(tmp_path) == [f"{step:08d}.safetensors" for step in (0, 1, 12)]


def test_a_step_written_again_replaces_the_file(tmp_path: Path) -> None:
    """A killed process may leave the file of a step that was never recorded."""
    write_covariances(tmp_path, 3, {("eval", "a"): moments(seed=1)})
    kept = write_covariances(tmp_path, 3, {("eval", "a"): moments(seed=2)})
    covariance, _mean = read_covariances(tmp_path, kept, "eval", ["a"])["a"]
    assert torch.equal(covariance, moments(seed=2).covariance())
    assert len(files(tmp_path)) == 1


def test_what_a_killed_process_left_unfinished_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "00000003.unfinished").write_bytes(b"half")
    kept = write_covariances(tmp_path, 3, {("eval", "a"): moments()})
    assert read_covariances(tmp_path, kept, "eval", ["a"])["a"][0].shape == (5, 5)
    assert files(tmp_path) == ["00000003.safetensors"]


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "00000003.safetensors" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="00000003"):
        write_covariances(tmp_path, 3, {("eval", "a"): moments()})
    assert files(tmp_path) == ["00000003.safetensors"]


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(OSError, match=FOLDER):
        write_covariances(tmp_path, 3, {("eval", "a"): moments()})


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    kept = write_covariances(tmp_path, 0, {("eval", "a"): moments(2)})
    path = tmp_path / FOLDER / "00000000.safetensors"
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedRecordError, match=r"00000000\.safetensors"):
            read_covariances(tmp_path, kept, "eval", ["a"])["a"]
    path.write_bytes(data)
    assert torch.equal(
        read_covariances(tmp_path, kept, "eval", ["a"])["a"][0], moments(2).covariance()
    )


def test_a_shortened_file_is_found(tmp_path: Path) -> None:
    kept = write_covariances(tmp_path, 0, {("eval", "a"): moments()})
    path = tmp_path / FOLDER / "00000000.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DamagedRecordError, match=r"00000000\.safetensors"):
        read_covariances(tmp_path, kept, "eval", ["a"])["a"]


def test_a_removed_file_is_named(tmp_path: Path) -> None:
    kept = write_covariances(tmp_path, 0, {("eval", "a"): moments()})
    (tmp_path / FOLDER / "00000000.safetensors").unlink()
    with pytest.raises(RunNotFoundError, match=r"00000000\.safetensors"):
        read_covariances(tmp_path, kept, "eval", ["a"])["a"]


@pytest.mark.parametrize(("phase", "layer"), [("train", "a"), ("eval", "b"), ("eval", "")])
def test_a_reading_that_is_not_in_the_file_is_named(tmp_path: Path, phase: str, layer: str) -> None:
    kept = write_covariances(tmp_path, 0, {("eval", "a"): moments()})
    with pytest.raises(RunNotFoundError, match=f"{phase}/{layer}"):
        read_covariances(tmp_path, kept, phase, [layer])[layer]


@pytest.mark.parametrize(
    ("from_step", "left"), [(-5, []), (0, [-2]), (3, [-2, 0]), (4, [-2, 0, 3]), (9, [-2, 0, 3])]
)
def test_a_step_and_all_later_ones_are_removed(
    tmp_path: Path, from_step: int, left: list[int]
) -> None:
    for step in (-2, 0, 3):
        write_covariances(tmp_path, step, {("eval", "a"): moments()})
    remove_covariances(tmp_path, from_step=from_step)
    assert files(tmp_path) == sorted(f"{step:08d}.safetensors" for step in left)


def test_files_of_others_are_not_removed(tmp_path: Path) -> None:
    write_covariances(tmp_path, 3, {("eval", "a"): moments()})
    mine = tmp_path / FOLDER / "mine.safetensors"
    mine.write_bytes(b"mine")
    remove_covariances(tmp_path, from_step=0)
    assert files(tmp_path) == ["mine.safetensors"]


def test_removing_from_a_run_without_covariances_does_nothing(tmp_path: Path) -> None:
    remove_covariances(tmp_path, from_step=0)
    assert list(tmp_path.iterdir()) == []
