"""The page of a run and the list of runs, as a browser shows them."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from fathom.views.look import THEMES
from fathom.views.report import write_report
from fathom.views.run import Run

# The tests start the browser, the server and a training that is under way; so do the pictures.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from chromium import executable, launched
from live import Serving
from live_training import Training, recorded

_WIDTH, _HEIGHT = 1100, 1000
_LIST_WIDTH, _LIST_HEIGHT = 1280, 400


def draw(run: Run, folder: Path) -> Iterator[Path]:
    """Write the top of the report in each theme, and the list of runs; needs Chromium."""
    browser_path = executable()
    if browser_path is None:
        sys.exit("pictures: a browser must be there for the page. Install Debian's chromium.")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = launched(playwright, browser_path)
        yield from _report(browser, run, folder, Path(scratch) / "report.html")
        yield _list(browser, run, folder, Path(scratch) / "runs")
        browser.close()


def _report(browser: Browser, run: Run, folder: Path, report: Path) -> Iterator[Path]:
    write_report([run], report)
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


def _list(browser: Browser, run: Run, folder: Path, runs: Path) -> Path:
    path = folder / "runs-light.png"
    with _some(run, runs), Serving(runs) as serving:
        page = browser.new_page(viewport={"width": _LIST_WIDTH, "height": _LIST_HEIGHT})
        page.goto(str(serving.url))
        for name in ("sweep/narrow", "sweep/wide"):
            page.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()
        page.locator(".live").wait_for()
        page.mouse.move(0, 0)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=path)
    return path


@contextmanager
def _some(run: Run, runs: Path) -> Iterator[None]:
    """Have this run in a folder beside others, of which one is being written."""
    shutil.copytree(run.path, runs / "demo")
    recorded(runs / "sweep" / "narrow", steps=20, width=6)
    recorded(runs / "sweep" / "wide", steps=20, width=64)
    with Training(runs / "sweep" / "now") as training:
        for _ in range(6):
            training.step()
        yield
