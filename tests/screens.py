"""The screen of `fathom top` while a test drives it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from fathom.views.top.app import Top

Scene = Callable[["Driven"], Coroutine[Any, Any, None]]


class Driven:
    """An app that runs, with what is on its screen."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def lines(self) -> list[str]:
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)

    def layers(self, *labels: str) -> list[str]:
        """The labels that are on the screen, from above."""
        found = (line.split() for line in self.lines)
        return [words[0] for words in found if words and words[0] in labels]

    @property
    def reversed(self) -> str:
        """The first word of the line under the cursor."""
        for strip in self.app.screen._compositor.render_strips():
            first = next(iter(strip), None)
            if first is not None and first.style is not None and first.style.reverse:
                return first.text.split()[0]
        return ""

    async def sees(self, *words: str, without: str = "\0") -> None:
        """Wait until the screen shows all of the words."""
        for _ in range(600):
            await self.pilot.pause(0.05)
            text = " ".join(self.text.split())
            if all(word in text for word in words) and without not in text:
                return
        raise AssertionError(f"{words} never came, but:\n{self.text}")

    async def points(self, word: str) -> None:
        """Wait until the line under the cursor begins with a word."""
        for _ in range(600):
            if self.reversed == word:
                return
            await self.pilot.pause(0.05)
        raise AssertionError(f"the cursor never was on {word}, but:\n{self.text}")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()


def drive(
    path: Path, scene: Scene, *, size: tuple[int, int] = (80, 24), light: bool = False
) -> None:
    """Run the app at a path while the scene plays."""

    async def play() -> None:
        # Looks without a pause keep the process busy, and every key waits until it is not.
        app = Top(path, light=light, pause=0.1)
        async with app.run_test(size=size) as pilot:
            await scene(Driven(app, pilot))
        assert app.return_code in (0, None)

    asyncio.run(play())
