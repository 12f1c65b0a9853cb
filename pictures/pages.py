"""The page of a run, as a browser shows it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

from fathom.views.look import THEMES
from fathom.views.report import write_report
from fathom.views.run import Run

_WIDTH, _HEIGHT = 1100, 1000


def draw(run: Run, folder: Path) -> Iterator[Path]:
    """Write the top of the report in each theme; needs Chromium."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.exit("pictures: a browser must be there for the page. Install Debian's chromium.")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        report = Path(scratch) / "report.html"
        write_report([run], report)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for theme in THEMES:
            page = browser.new_page(
                viewport={"width": _WIDTH, "height": _HEIGHT},
                color_scheme="dark" if theme == "dark" else "light",
            )
            page.goto(report.as_uri())
            page.get_by_role("heading", name="Evolution").wait_for()
            path = folder / f"page-{theme}.png"
            page.screenshot(path=path)
            yield path
        browser.close()
