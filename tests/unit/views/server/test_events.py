import asyncio
import logging
from pathlib import Path

import pytest

from fathom.views.server import events
from fathom.views.server.events import MOST_FOLLOWED, MOST_LISTENERS, Events, TooManyError
from fathom.views.server.listing import Listing
from fathom.views.server.root import Root
from fathom.views.server.runs import OpenRuns
from live import PATIENCE


class Failing(Listing):
    """A list with a fault of the server's own, which ends after two looks."""

    looks = 0

    def look(self) -> str:
        self.looks += 1
        if self.looks < 3:
            raise RuntimeError("a fault that nobody foresaw")
        return super().look()


def test_a_fault_of_its_own_is_logged_once_and_the_look_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "LIST_PAUSE", 0.01)

    async def listen() -> None:
        told = Events(OpenRuns(Root(tmp_path)), Failing(Root(tmp_path)))
        async with asyncio.timeout(PATIENCE), told.listening(()) as listener:
            for _ in range(2):
                await listener.woken.wait()
                listener.woken.clear()

    with caplog.at_level(logging.ERROR):
        asyncio.run(listen())
    assert len(caplog.records) == 1
    assert "a fault that nobody foresaw" in caplog.text


def test_a_place_is_taken_before_the_answer_begins_and_free_when_it_has_ended(
    tmp_path: Path,
) -> None:
    told = Events(OpenRuns(Root(tmp_path)), Listing(Root(tmp_path)))
    streams = [told.stream(()) for _ in range(MOST_LISTENERS)]
    with pytest.raises(TooManyError):
        told.stream(())
    for stream in streams:
        told.ended(stream)
    half = MOST_FOLLOWED // 2
    first = told.stream([str(name) for name in range(half)])
    told.stream([str(name) for name in range(half, MOST_FOLLOWED)])
    told.stream(["0"])
    with pytest.raises(TooManyError):
        told.stream(["one more"])
    told.ended(first)
    told.stream(["one more"])
