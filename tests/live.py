"""A real `fathom serve` in a process of its own, and what listens to it."""

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from preloaded import FATHOM, Piped

PATIENCE = 60.0
"""Seconds that a test waits for what must come."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""That every answer must have."""

TARGETS = [
    "/",
    "/page/page.css",
    "/api/runs",
    "/api/run?name=inside",
    "/api/run?name=nowhere",
    "/api/spectrum?name=inside&phase=eval&layer=0&step=0",
    "/api/spectrum",
    "/nothing",
]
"""Addresses that are there, and some that are not."""


class Serving:
    """A running `fathom serve`."""

    def __init__(
        self,
        folder: Path | str,
        *options: object,
        port: int | None = 0,
        cwd: Path | None = None,
        fathom: tuple[str, ...] = FATHOM,
    ):
        self._command = [*fathom, "serve", folder, *options]
        self._cwd = cwd
        self.folder = Path(folder)
        self.said: list[str] = []
        self._start(port)

    def _start(self, port: int | None) -> None:
        command = self._command if port is None else [*self._command, "--port", port]
        self.process = Piped(command, cwd=self._cwd)
        waking = threading.Timer(PATIENCE, self.process.kill)
        waking.start()
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"at (http://\S+)", line):
                self.link = found[1]
                break
        waking.cancel()
        assert "at http://" in "".join(self.said), self._errors()
        self.url = httpx.URL(self.link).copy_with(query=None)
        self.port = self.url.port or 80

    def restart(self) -> None:
        """Start it again on the same port."""
        self._start(self.port)

    def get(self, path: str, **question: Any) -> httpx.Response:
        return httpx.get(self.url.join(path), params=question or None, timeout=PATIENCE)

    def json(self, path: str, **question: Any) -> Any:
        answer = self.get(path, **question)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextmanager
    def events(self, *names: str) -> Iterator[Iterator[tuple[str, Any]]]:
        """Listen: what comes is (event, data)."""
        with httpx.stream(
            "GET",
            self.url.join("api/events"),
            params=[("name", name) for name in names],
            timeout=PATIENCE,
        ) as response:
            assert response.status_code == 200
            yield _events(response.iter_lines())

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C: its status, and what it said on standard error."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.wait(), errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def busy(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _errors(self) -> str:
        self.process.kill()
        return "".join(self.said) + self.process.communicate(timeout=PATIENCE)[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.kill()


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


def stamps(events: Iterator[tuple[str, Any]], *names: str) -> dict[str, str | None]:
    """Read events until each of these runs was told of; return the last stamp of each."""
    found: dict[str, str | None] = {}
    while set(found) < set(names):
        kind, data = next(events)
        if kind == "run":
            found[data["name"]] = data["stamp"]
    return found


def raw(serving: Serving, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes; return status, headers and body of the answer."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def asked(serving: Serving, target: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
    lines = [f"GET {target} HTTP/1.1", *headers, "Connection: close", "", ""]
    return raw(serving, "\r\n".join(lines).encode("latin-1"))


def host(serving: Serving) -> str:
    return f"Host: 127.0.0.1:{serving.port}"
