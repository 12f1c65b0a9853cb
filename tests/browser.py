"""Pages in a real browser: headless Chromium, driven by playwright."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from chromium import executable, launched


@dataclass
class Opened:
    """A page, and what it did that a test may not know of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong, for every reader that it thinks of."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
            for each in found
        ]


def needed() -> str:
    """Return the path of the browser; without one a test is skipped, or in CI failed."""
    path = executable()
    if path is None:
        reason = "no Chromium: install it (Debian: apt-get install chromium) to run this test"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


# Not of a session: playwright keeps an event loop running, in which no other test can run one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a file; skipped, or in CI failed, where there is none."""
    path = needed()
    with sync_playwright() as playwright:
        browser = launched(playwright, path)
        yield browser
        browser.close()


class Opening:
    """Opens pages, each in a context of its own, and closes them all."""

    def __init__(self, browser: Browser):
        self._browser = browser
        self._contexts: list[Any] = []
        self.opened: list[Opened] = []

    def __call__(
        self, url: str, *, width: int = 1200, scheme: str = "light", **options: Any
    ) -> Opened:
        context = self._browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            **options,
        )
        self._contexts.append(context)
        opened = Opened(context.new_page())
        self.opened.append(opened)
        context.on("request", lambda request: opened.requests.append(request.url))
        context.on(
            "console",
            lambda message: (
                opened.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        context.on("weberror", lambda error: opened.complaints.append(str(error.error)))
        opened.page.goto(url)
        return opened

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def opening(chromium: Browser) -> Iterator[Opening]:
    """Open an address in a new window."""
    opening = Opening(chromium)
    yield opening
    opening.close()
