"""A picture of `fathom top`, for the documentation."""

import asyncio
import re
from pathlib import Path

from fathom.views.top.app import Top


def picture(
    run: Path, path: Path, *, columns: int = 80, lines: int = 24, light: bool = False
) -> None:
    """Write what `fathom top` shows of a run as an SVG.

    Args:
        run: The folder of a run with at least one step.
        path: Where to write.
        columns: Of the terminal.
        lines: Of the terminal.
        light: Dark text on a light ground; the other way round else.
    """

    async def draw() -> str:
        app = Top(run, light=light)
        async with app.run_test(size=(columns, lines)) as pilot:
            await app.shown.wait()
            await pilot.pause()
            return app.export_screenshot()

    # Without the fonts that textual would have a reader's browser fetch.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", asyncio.run(draw()), flags=re.DOTALL))
