"""A real `fathom serve` in a process of its own, and what listens to it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

PATIENCE = 60.0
"""Seconds that a test waits for what must come."""


class Serving:
    """A running `fathom serve`."""

    def __init__(
        self,
        folder: Path | str,
        *options: object,
        port: int | None = 0,
        cwd: Path | None = None,
    ):
        self._command = [
            str(Path(sys.executable).with_name("fathom")),
            "serve",
            str(folder),
            *map(str, options),
        ]
        self._cwd = cwd
        self.folder = Path(folder)
        self.said: list[str] = []
        self._start(port)

    def _start(self, port: int | None) -> None:
        command = self._command if port is None else [*self._command, "--port", str(port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self._cwd
        )
        assert self.process.stdout is not None
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
        return self.process.returncode, errors

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
