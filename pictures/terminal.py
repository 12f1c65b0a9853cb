"""What `fathom top` shows of a run."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from fathom.views.run import Run
from fathom.views.top.app import Top

_COLUMNS, _LINES = 80, 24


def draw(run: Run, folder: Path) -> Iterator[Path]:
    """Write the screen of a terminal of the usual size."""

    async def screen() -> str:
        app = Top(run.path)
        async with app.run_test(size=(_COLUMNS, _LINES)) as pilot:
            await app.shown.wait()
            await pilot.pause()
            return app.export_screenshot()

    path = folder / "top.svg"
    # Without the fonts that textual would have a reader's browser fetch.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", asyncio.run(screen()), flags=re.DOTALL))
    yield path
