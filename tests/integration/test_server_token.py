"""Who has no token, and who has: the live page's server at an address that others reach."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from live import HEADERS, PATIENCE, TARGETS, Serving, asked, host
from live_training import recorded


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    recorded(place / "runs" / "inside")
    return place


@pytest.fixture(scope="module")
def guarded(place: Path) -> Iterator[Serving]:
    with Serving(place / "runs", "--host", "0.0.0.0") as running:
        running.url = httpx.URL(f"http://127.0.0.1:{running.port}/")
        yield running


def test_without_the_token_nothing_is_told(guarded: Serving) -> None:
    assert re.fullmatch(r"http://[0-9a-z.:\[\]-]+:\d+/\?token=[\w-]{43}", guarded.link, re.ASCII)
    assert guarded.port == httpx.URL(guarded.link).port
    for target in [*TARGETS, "/api/events", "/page/main.js"]:
        for line in ("Accept: */*", "Authorization: Bearer wrong", "Cookie: fathom-1=x; y"):
            status, headers, body = asked(guarded, target, host(guarded), line)
            assert status == 401
            assert headers["www-authenticate"] == "bearer"
            assert b"inside" not in body
            assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert asked(guarded, "/?token=wrong", host(guarded))[0] == 401
    assert asked(guarded, "/api/runs?token=" + token_of(guarded), host(guarded))[0] == 401


def token_of(serving: Serving) -> str:
    return httpx.URL(serving.link).params["token"]


def test_the_link_gives_a_cookie_that_opens_the_rest(guarded: Serving) -> None:
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE) as browser:
        first = browser.get("/", params={"token": token_of(guarded), "x": "a&b"})
        assert first.status_code == 303
        assert first.headers["location"] == "/?x=a%26b"
        assert first.headers["cache-control"] == "no-store"
        cookie = first.headers["set-cookie"]
        assert cookie == (
            f"fathom-{guarded.port}={token_of(guarded)}; Path=/; HttpOnly; SameSite=Lax"
        )
        assert browser.get("/").status_code == 200
        assert browser.get("/api/run", params={"name": "inside"}).status_code == 200
        with browser.stream("GET", "/api/events") as events:
            assert events.status_code == 200


def test_a_program_sends_the_token_in_a_header(guarded: Serving) -> None:
    for scheme in ("Bearer", "bearer"):
        answer = httpx.get(
            guarded.url.join("api/runs"),
            headers={"Authorization": f"{scheme} {token_of(guarded)}"},
        )
        assert answer.status_code == 200


def test_with_a_token_foreign_names_are_still_refused(guarded: Serving) -> None:
    token = f"Authorization: Bearer {token_of(guarded)}"
    for name, status in (
        (f"127.0.0.1:{guarded.port}", 200),
        ("10.1.2.3:9000", 200),
        (socket.gethostname(), 200),
        (f"{socket.gethostname().partition('.')[0]}.local:{guarded.port}", 200),
        (f"{socket.gethostname().partition('.')[0]}.evil.example:{guarded.port}", 421),
        (f"evil.example:{guarded.port}", 421),
        ("", 400),
    ):
        assert asked(guarded, "/api/runs", f"Host: {name}", token)[0] == status


def test_each_start_has_a_token_of_its_own(guarded: Serving, place: Path) -> None:
    with Serving(place / "runs", "--host", "::") as other:
        assert token_of(other) != token_of(guarded)
        status, _, _ = asked(other, f"/?token={token_of(guarded)}", host(other))
        assert status == 401
        assert asked(other, f"/?token={token_of(other)}", host(other))[0] == 303
