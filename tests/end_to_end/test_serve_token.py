"""The link with the token, clicked on a page of another site in a real browser."""

import threading
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from browser import Opening
from live import PATIENCE, Serving
from live_training import recorded

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Serving]:
    recorded(tmp_path / "runs" / "inside")
    with Serving(tmp_path / "runs", "--host", "0.0.0.0") as running:
        yield running


@pytest.fixture
def elsewhere(guarded: Serving) -> Iterator[str]:
    """The address of a page of another site that has the link, as a web mail has it."""
    token = httpx.URL(guarded.link).params["token"]
    link = escape(f"http://127.0.0.1:{guarded.port}/?token={token}")

    class Mail(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                f'<!doctype html><title>Mail</title><a href="{link}">runs</a>'.encode()
            )

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Mail) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        # To a browser `localhost` and `127.0.0.1` are two sites.
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        serving.join()


def test_a_link_that_is_clicked_on_another_site_opens_the_page(
    guarded: Serving, elsewhere: str, opening: Opening
) -> None:
    page = opening(elsewhere).page
    page.get_by_role("link", name="runs").click()
    row = page.locator("table.runs tbody tr")
    expect(row).to_contain_text("inside")
    assert "token" not in page.url
    page.reload()
    expect(row).to_contain_text("inside")
    page.get_by_role("link", name="inside").click()
    expect(page.locator(".controls output")).to_contain_text("step 1")
