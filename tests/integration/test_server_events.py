"""What the live page's server tells those who listen, while real trainings write."""

import json
import shutil
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

import fathom
from fathom.views.server.events import MOST_FOLLOWED, MOST_LISTENERS
from live import PATIENCE, Serving, stamps
from live_training import record, recorded, small_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


TOO_MANY = {"error": "Too many listen already. Close some pages."}


def test_a_snapshot_is_told_and_the_document_has_it(root: Path) -> None:
    model = small_model()
    with Serving(root) as serving, fathom.watch(model, root / "a") as monitor:
        record(monitor, model, 0)
        with serving.events("a") as events:
            before = stamps(events, "a")["a"]
            while serving.json("api/run", name="a")["stamp"] != before:
                before = stamps(events, "a")["a"]
            for step in range(1, 4):
                record(monitor, model, step)
                after = stamps(events, "a")["a"]
                while (answer := serving.json("api/run", name="a"))["stamp"] != after:
                    after = stamps(events, "a")["a"]
                assert after != before
                assert answer["steps"] == list(range(step + 1))
                assert answer["live"]
                before = after
            monitor.close()
            ended = stamps(events, "a")["a"]
            assert ended != before
            answer = serving.json("api/run", name="a")
            assert (answer["stamp"], answer["live"]) == (ended, False)


def test_the_list_is_told_when_a_run_appears_goes_on_ends_and_goes(root: Path) -> None:
    model = small_model()

    def listed() -> list[tuple[str, bool, int]]:
        runs = serving.json("api/runs")["runs"]
        return [(run["name"], run["live"], run["recorded"]) for run in runs]

    with Serving(root) as serving, serving.events() as events:
        assert next(events) == ("runs", {})
        assert listed() == []
        with fathom.watch(model, root / "a") as monitor:
            for step in range(2):
                record(monitor, model, step)
                while listed() != [("a", True, step + 1)]:
                    assert next(events) == ("runs", {})
        while listed() != [("a", False, 2)]:
            assert next(events) == ("runs", {})
        shutil.rmtree(root / "a")
        while listed() != []:
            assert next(events) == ("runs", {})


def test_a_run_may_come_later_go_and_be_replaced(root: Path) -> None:
    with Serving(root) as serving, serving.events("late") as events:
        assert stamps(events, "late") == {"late": None}
        recorded(root / "late", steps=2)
        # Only what was told of is told to be gone.
        assert stamps(events, "late")["late"] is not None
        first = serving.json("api/run", name="late")
        shutil.rmtree(root / "late")
        while stamps(events, "late")["late"] is not None:
            pass
        assert serving.get("api/run", name="late").status_code == 404
        recorded(root / "other", steps=3, width=5)
        (root / "other").rename(root / "late")
        while (answer := serving.get("api/run", name="late")).status_code == 404:
            stamps(events, "late")
        assert answer.json()["stamp"] != first["stamp"]
        assert answer.json()["layers"][0]["width"] == 5


def test_a_run_that_is_damaged_while_it_is_followed_is_told(root: Path) -> None:
    recorded(root / "a")
    with Serving(root) as serving, serving.events("a") as events:
        whole = stamps(events, "a")["a"]
        (root / "bad").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
        (root / "bad").replace(root / "a" / "run.sqlite")
        assert stamps(events, "a")["a"] not in {whole, None}
        answer = serving.get("api/run", name="a")
        assert answer.status_code == 422
        assert "a/run.sqlite must be readable" in answer.json()["error"]


def test_whoever_was_cut_off_is_told_the_stamps_of_now(root: Path) -> None:
    model = small_model()
    with Serving(root) as serving, fathom.watch(model, root / "a") as monitor:
        recorded(root / "b")
        record(monitor, model, 0)
        with serving.events("a", "b") as events:
            before = stamps(events, "a", "b")
            serving.kill()
            with pytest.raises(httpx.TransportError):
                list(events)
        record(monitor, model, 1)
        serving.restart()
        with serving.events("a", "b") as events:
            after = stamps(events, "a", "b")
        assert after["b"] == before["b"], "what is the same need not be loaded again"
        assert after["a"] != before["a"]
        assert serving.json("api/run", name="a")["steps"] == [0, 1]


def test_many_share_one_look_and_nobody_costs_nothing(root: Path) -> None:
    recorded(root / "a")
    with Serving(root) as serving:
        with ExitStack() as stack:
            streams = [stack.enter_context(serving.events("a")) for _ in range(20)]
            found = {stamps(events, "a")["a"] for events in streams}
            assert len(found) == 1
        # Those who leave are noticed, and then the processor is left alone.
        deadline = time.monotonic() + PATIENCE
        rests = False
        while not rests and time.monotonic() < deadline:
            before = serving.busy()
            time.sleep(2)
            rests = serving.busy() - before < 0.05
        assert rests


def test_listeners_and_followed_runs_are_limited(root: Path) -> None:
    def refused(path: str) -> tuple[int, object]:
        with httpx.stream("GET", serving.url.join(path), timeout=PATIENCE) as answer:
            assert answer.headers["content-type"] == "application/json", "it listens"
            return answer.status_code, json.loads(answer.read())

    with Serving(root) as serving, ExitStack() as stack:
        streams = []
        for first in range(0, MOST_FOLLOWED, 16):
            names = [str(name) for name in range(first, first + 16)]
            streams.append(stack.enter_context(serving.events(*names)))
            stamps(streams[-1], *names)
        assert refused("api/events?name=one%20more") == (503, TOO_MANY)
        while len(streams) < MOST_LISTENERS:
            streams.append(stack.enter_context(serving.events()))
            next(streams[-1])
        assert refused("api/events") == (503, TOO_MANY)
        assert serving.get("api/runs").status_code == 200


def test_limits_hold_for_those_who_come_all_at_once(root: Path) -> None:
    with Serving(root) as serving, ExitStack() as stack:
        address = ("127.0.0.1", serving.port)
        many = [
            stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
            for _ in range(3 * MOST_LISTENERS)
        ]
        for each in many:
            host = f"Host: 127.0.0.1:{serving.port}"
            each.sendall(f"GET /api/events HTTP/1.1\r\n{host}\r\n\r\n".encode())
        answers = [each.makefile("rb").readline() for each in many]
        assert sum(b" 200 " in answer for answer in answers) == MOST_LISTENERS
        assert sum(b" 503 " in answer for answer in answers) == 2 * MOST_LISTENERS


def test_listeners_who_never_read_hold_nobody_up(root: Path) -> None:
    model = small_model()
    with Serving(root) as serving, ExitStack() as stack:
        for _ in range(5):
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            host = f"Host: 127.0.0.1:{serving.port}"
            deaf.sendall(f"GET /api/events?name=a HTTP/1.1\r\n{host}\r\n\r\n".encode())
        with serving.events("a") as events, fathom.watch(model, root / "a") as monitor:
            stamps(events, "a")
            for step in range(5):
                record(monitor, model, step)
                while stamps(events, "a")["a"] is None:
                    pass
        assert serving.interrupt() == (0, "")


def test_open_streams_do_not_hold_up_the_end(root: Path) -> None:
    with Serving(root) as serving, serving.events("a") as events:
        stamps(events, "a")
        assert serving.interrupt() == (0, "")
        assert list(events) == []


def test_a_stream_says_at_once_when_to_come_again(root: Path) -> None:
    script = (
        "from fathom.views.server import events; events.HEARTBEAT = 1.0; "
        "from fathom.cli.main import main; main()"
    )
    with (
        Serving(root, fathom=("-c", script)) as serving,
        httpx.stream("GET", serving.url.join("api/events"), timeout=PATIENCE) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert "content-encoding" not in response.headers
        lines = response.iter_lines()
        assert next(lines) == "retry: 1000"
        # After a while without news a comment says that the connection lives.
        assert next(line for line in lines if line.startswith(":")) == ": nothing new"


def test_names_with_newlines_make_no_event_of_their_own(root: Path) -> None:
    name = "a\n\nevent: runs\ndata: {}"
    recorded(root / name)
    with Serving(root) as serving, serving.events(name) as events:
        assert [next(events)[0], next(events)[0]] in (["runs", "run"], ["run", "runs"])
        answer = serving.json("api/run", name=name)
        assert answer["name"] == name
        assert serving.json("api/runs")["runs"][0]["name"] == name
