"""Where Chromium is and how it is started, for the tests and for the pictures of the docs."""

import os
import shutil

from playwright.sync_api import Browser, Playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A browser that is only to show a page asks nobody for anything else.
_QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str | None:
    """Return the path of the browser; None where there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def launched(playwright: Playwright, path: str) -> Browser:
    """Start it, without a window."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    # As root there is no sandbox to be had.
    arguments = [*_QUIET, *(["--no-sandbox"] if is_root else [])]
    return playwright.chromium.launch(executable_path=path, args=arguments)
