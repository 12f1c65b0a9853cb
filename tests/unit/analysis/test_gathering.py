"""Features in memory and in a file give the same, and the file has no name."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from fathom.analysis.gathering import Gathering
from fathom.errors import ArgumentError


def rows(batch: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    generator = np.random.default_rng(batch * 100 + width)
    return generator.normal(size=(batch + 1, width)).astype(np.float32)


@pytest.mark.parametrize("most", [1, 300, 10**6])
def test_rows_come_back_in_their_order(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gathering = Gathering(most)
    for batch in range(5):
        for width in (3, 8):
            gathering.add(str(width), rows(batch, width))
        assert gathering.held <= most
    assert gathering.spilled == (most < 10**6)
    assert not list(tmp_path.iterdir())
    gathering.drop("3")
    target = np.empty((15, 8))
    gathering.into("8", target)
    np.testing.assert_array_equal(target, np.concatenate([rows(batch, 8) for batch in range(5)]))
    gathering.spill()
    gathering.into("8", target)
    np.testing.assert_array_equal(target, np.concatenate([rows(batch, 8) for batch in range(5)]))
    assert gathering.held == 0
    gathering.close()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, *place: int) -> int:
            return 0

        def write(self, data: object) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    gathering = Gathering(10)
    with pytest.raises(ArgumentError, match=r"got 10 B: .*No space left.*TMPDIR"):
        gathering.add("a", rows(4, 4))
    gathering.close()
