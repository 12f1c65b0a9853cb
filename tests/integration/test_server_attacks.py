"""What the live page's server refuses, asked on a bare socket as no browser asks."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live import HEADERS, PATIENCE, TARGETS, Serving, asked, host, raw
from live_training import recorded


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`runs/inside` is served; `secret`, beside it, holds a run that nobody may see."""
    place = tmp_path_factory.mktemp("place")
    recorded(place / "runs" / "inside")
    recorded(place / "secret")
    return place


@pytest.fixture(scope="module")
def serving(place: Path) -> Iterator[Serving]:
    with Serving(place / "runs") as running:
        yield running


@pytest.mark.parametrize("target", TARGETS)
def test_every_answer_has_every_header(serving: Serving, target: str) -> None:
    for line in (host(serving), "Host: evil.example", "Host: a b"):
        _, headers, _ = asked(serving, target, line)
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert headers["cache-control"] in {"no-store", "no-cache"}
        assert headers["cache-control"] == "no-store" or target in {"/", "/page/page.css"}
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


def test_every_event_stream_has_every_header(serving: Serving) -> None:
    with httpx.stream("GET", serving.url.join("api/events"), timeout=PATIENCE) as response:
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("LocalHost:{port}", 200),
        ("[::1]:{port}", 200),
        ("127.0.0.1", 421),
        ("127.0.0.1:1", 421),
        ("localhost.:{port}", 400),
        ("evil.example:{port}", 421),
        ("127.0.0.1.evil.example:{port}", 421),
        ("127.0.0.1:{port}.evil.example", 400),
        ("localhost:{port}@evil.example", 400),
        ("evil.example@localhost:{port}", 400),
        ("127.0.0.1:{port}/", 400),
        ("2130706433:{port}", 421),
        ("127.1:{port}", 421),
        ("0.0.0.0:{port}", 421),
        ("[::ffff:127.0.0.1]:{port}", 421),
        ("::1:{port}", 400),
        ("127.0.0.1:+{port}", 400),
        ("127.0.0.1:", 400),
        ("", 400),
        (" ", 400),
        ("a,127.0.0.1:{port}", 400),
        ("127.0.0.1\x00:{port}", 400),
        ("localhost\xb2:{port}", 400),
    ],
)
def test_only_names_of_the_loopback_are_answered(serving: Serving, name: str, status: int) -> None:
    for target in TARGETS[:3]:
        got, _, body = asked(serving, target, f"Host: {name.format(port=serving.port)}")
        assert got == status
        assert status == 200 or b"inside" not in body


def test_a_request_without_a_host_or_with_two_is_refused(serving: Serving) -> None:
    assert asked(serving, "/api/runs")[0] == 400
    assert asked(serving, "/api/runs", host(serving), "Host: evil.example")[0] == 400
    assert raw(serving, b"GET /api/runs HTTP/1.0\r\n\r\n")[0] == 400
    assert raw(serving, b"GET /api/runs\r\n\r\n")[0] == 400


@pytest.mark.parametrize(
    "line",
    [
        "GET http://evil.example/api/runs HTTP/1.1",
        "GET //evil.example/api/runs HTTP/1.1",
        "GET \\api\\runs HTTP/1.1",
        "GET /api/runs\x00 HTTP/1.1",
        "GET /api/runs%00 HTTP/1.1",
        "GET /page/..%2fassets.py HTTP/1.1",
        "GET /page/%2e%2e/assets.py HTTP/1.1",
        "GET /page/../../../../etc/passwd HTTP/1.1",
        "GET /page//etc/passwd HTTP/1.1",
        "GET /" + "x" * 100_000 + " HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT evil.example:443 HTTP/1.1",
        "TRACE / HTTP/1.1",
        "POST /api/runs HTTP/1.1",
        "PUT /api/run?name=inside HTTP/1.1",
        "DELETE /api/run?name=inside HTTP/1.1",
        "get / HTTP/1.1",
        "\x00\x01\x02",
    ],
)
def test_odd_requests_get_an_error_and_no_traceback(serving: Serving, line: str) -> None:
    request = f"{line}\r\n{host(serving)}\r\nConnection: close\r\n\r\n"
    status, _, body = raw(serving, request.encode("latin-1"))
    assert status in {400, 404, 405, 414, 421, 431}
    assert b"Traceback" not in body
    assert b"root:" not in body
    assert serving.get("api/runs").status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "%252e%252e%252fsecret",
        "..%5csecret",
        "..%255csecret",
        "inside/../../secret",
        "inside%2f..%2f..%2fsecret",
        "inside%00",
        "inside%00/../../secret",
        "%c0%ae%c0%ae/secret",
        "%ff",
        "inside%0a",
        "x" * 5000,
        "./inside",
        "/inside",
        "inside/",
        "inside%2frun.sqlite",
        "",
    ],
)
def test_no_name_leads_out_of_the_folder(serving: Serving, place: Path, name: str) -> None:
    for target in (
        f"/api/run?name={name}",
        f"/api/spectrum?name={name}&phase=eval&layer=0&step=0",
    ):
        status, _, body = asked(serving, target, host(serving))
        assert status == 404
        assert str(place).encode() not in body


def test_an_absolute_path_is_no_name(serving: Serving, place: Path) -> None:
    for name in (place / "runs" / "inside", place / "secret"):
        assert asked(serving, f"/api/run?name={quote(str(name))}", host(serving))[0] == 404


NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.lists(
        st.sampled_from(["..", ".", "", "inside", "secret", "link", "%2e%2e", "\\", "\0"]),
        max_size=6,
    ).map("/".join),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=NAMES)
def test_whatever_is_asked_for_only_what_is_inside_is_answered(serving: Serving, name: str) -> None:
    answer = httpx.get(serving.url.join("api/run"), params={"name": name}, timeout=PATIENCE)
    assert answer.status_code == (200 if name == "inside" else 404)


def test_that_something_is_there_outside_is_not_told_either(serving: Serving, place: Path) -> None:
    def said(name: str) -> str:
        answer = serving.get("api/run", name=name)
        assert answer.status_code == 404
        return str(answer.json()["error"]).replace(repr(name), "")

    assert said("../secret") == said("../nothing") == said("nothing") == said("/etc/passwd")


def test_links_are_looked_at_each_time(place: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    recorded(root / "a")
    with Serving(root) as serving, serving.events("a") as events:
        assert serving.json("api/run", name="a")["recorded"] == 2
        next(events)
        # Swapped while it is followed: the folder, and then its file alone.
        shutil.rmtree(root / "a")
        (root / "a").symlink_to(place / "secret")
        assert serving.get("api/run", name="a").status_code == 404
        assert serving.json("api/runs")["runs"] == []
        (root / "a").unlink()
        (root / "a").mkdir()
        (root / "a" / "run.sqlite").symlink_to(place / "secret" / "run.sqlite")
        assert serving.get("api/run", name="a").status_code == 404
        (listed,) = serving.json("api/runs")["runs"]
        assert "lead out of the folder" in listed["problem"]
        assert listed["recorded"] == 0
        # A link that stays inside is a run.
        (root / "a" / "run.sqlite").unlink()
        recorded(root / "b")
        (root / "latest").symlink_to("b")
        assert serving.json("api/run", name="latest")["recorded"] == 2
