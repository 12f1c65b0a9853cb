import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fathom.store import opening, schema
from fathom.views.server.listing import Listing
from fathom.views.server.root import Root
from live_training import recorded


@contextmanager
def openings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The databases that are opened inside the block."""
    opened: list[Path] = []
    connect = schema.connect

    def noted(path: Path, *, mode: str) -> sqlite3.Connection:
        opened.append(path)
        return connect(path, mode=mode)

    with monkeypatch.context() as patch:
        patch.setattr(opening, "connect", noted)
        yield opened


def test_a_run_is_only_opened_again_where_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        recorded(tmp_path / name)
    # As a copy is: without the empty journal that readers make.
    for file in tmp_path.glob("*/run.sqlite-*"):
        file.unlink()
    listing = Listing(Root(tmp_path))
    with openings(monkeypatch) as opened:
        stamp = listing.look()
        assert {path.parent.name for path in opened} == {"a", "b"}
    with openings(monkeypatch) as opened:
        assert listing.look() == stamp
        assert opened == []
        connection = sqlite3.connect(tmp_path / "a" / "run.sqlite")
        with connection:
            connection.execute("DELETE FROM snapshots WHERE step = 1")
        connection.close()
        assert listing.look() != stamp
        assert {path.parent.name for path in opened} == {"a"}
