"""Processes that need not import torch: forks of one that has imported it, once for all tests.

Run as a script, this file is that process: it imports the modules that it is told, and forks for
each order. What it forks has files, a folder and an environment of its own, signals reach it, and
it ends as Python ends. That the command starts by itself too is for other tests to see.
"""

import atexit
import fcntl
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import types
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

FATHOM = (str(Path(sys.executable).with_name("fathom")),)
"""The command as it is installed, whose arguments come after it."""

_PATIENCE = 300.0
"""Seconds until a process is taken to hang."""


class Preloaded:
    """A running process.

    `command` is what would follow `python`: `-c` and a script, or a file; then arguments. `files`
    are its standard input, output and error; if they are a terminal, it is the process's own.
    """

    def __init__(
        self,
        command: Iterable[object],
        files: Sequence[int],
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        modules: tuple[str, ...] = ("fathom.cli.main",),
    ) -> None:
        order = {
            "command": [*map(str, command)],
            "cwd": str(cwd or Path.cwd()),
            "environment": {**os.environ, **(environment or {})},
        }
        self._news, theirs = os.pipe()
        line = _nursery(modules)
        socket.send_fds(line, [b"!"], [*files, theirs])
        line.sendall(json.dumps(order).encode() + b"\n")
        os.close(theirs)
        self._heard = b""
        self.returncode: int | None = None
        while b"\n" not in self._heard:
            self._hear(_PATIENCE)
        self.pid = int(self._heard.split()[0])

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return how it ended, as `subprocess` tells it; None while it has not."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            self._hear(0)
        return self.returncode

    def wait(self, timeout: float = _PATIENCE) -> int:
        while self.returncode is None:
            self._hear(timeout)
        return self.returncode

    def _hear(self, timeout: float) -> None:
        """Take what is told of the process: a line with its number, and one with how it ended."""
        if not select.select([self._news], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("preloaded", timeout)
        heard = os.read(self._news, 100)
        assert heard, "the process that forks the others has ended"
        self._heard += heard
        if self._heard.count(b"\n") == 2:
            self.returncode = os.waitstatus_to_exitcode(int(self._heard.split()[1]))
            os.close(self._news)


class Piped(Preloaded):
    """A running process with pipes to and from it."""

    def __init__(self, command: Iterable[object], **options: Any) -> None:
        pipes = [os.pipe() for _ in range(3)]
        (given, ours), *others = pipes
        theirs = [given, *(writes for _, writes in others)]
        try:
            super().__init__(command, theirs, **options)
        finally:
            for each in theirs:
                os.close(each)
        self.stdin = os.fdopen(ours, "w")
        self.stdout, self.stderr = (os.fdopen(reads) for reads, _ in others)

    def communicate(self, timeout: float = _PATIENCE) -> tuple[str, str]:
        """Read what it says until it has ended."""
        with suppress(BrokenPipeError):
            self.stdin.close()
        with ThreadPoolExecutor() as readers:
            said = [readers.submit(each.read) for each in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        out, err = (each.result() for each in said)
        self.stdout.close()
        self.stderr.close()
        return out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.stdout.closed:
            self.kill()
            self.communicate()


class Done(NamedTuple):
    """What came of a process."""

    returncode: int
    stdout: str
    stderr: str


def done(*command: object, **options: Any) -> Done:
    """Run a process to its end."""
    process = Piped(command, **options)
    out, err = process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out, err)


def ranks(script: Path, *arguments: object, count: int = 2, modules: tuple[str, ...]) -> None:
    """Run a script on processes of one training, each told of the others as by torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", "WORLD_SIZE": f"{count}"}
    shared |= {"LOCAL_WORLD_SIZE": f"{count}", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}
    started = [
        Piped(
            (script, *arguments),
            cwd=script.parent,
            environment={**shared, "RANK": f"{rank}", "LOCAL_RANK": f"{rank}"},
            modules=modules,
        )
        for rank in range(count)
    ]
    with ThreadPoolExecutor() as readers:
        said = list(readers.map(lambda each: each.communicate(), started))
    assert [each.returncode for each in started] == [0] * count, "".join(err for _, err in said)


@cache
def _nursery(modules: tuple[str, ...]) -> socket.socket:
    """Start the process that forks the others; it ends with the tests."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), *modules],
            pass_fds=[theirs.fileno()],
            # What a person presses reaches the tests alone.
            start_new_session=True,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _ordered(line: socket.socket) -> list[str]:
    """Fork for each order that comes, and return the command in the process that is to run it."""
    while True:
        byte, files, *_ = socket.recv_fds(line, 1, 4)
        if not byte:
            os._exit(0)
        words = b""
        while not words.endswith(b"\n"):
            words += line.recv(2**16)
        order = json.loads(words)
        if os.fork() == 0:
            line.close()
            if (process := os.fork()) == 0:
                _begin(order, files)
                command: list[str] = order["command"]
                return command
            *others, news = files
            for each in others:
                os.close(each)
            os.write(news, b"%d\n" % process)
            os.write(news, b"%d\n" % os.waitpid(process, 0)[1])
            os._exit(0)
        for each in files:
            os.close(each)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _begin(order: Any, files: list[int]) -> None:
    """Be the process that was ordered, as far as Python has been told when it starts."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.setsid()
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    for each in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{each}__", getattr(sys, each))


def _run(command: list[str]) -> None:
    sys.argv = command
    if command[0] == "-c":
        script = sys.argv.pop(1)
        sys.path[0] = ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(script, "<string>", "exec"), main.__dict__)
    else:
        sys.path[0] = str(Path(command[0]).resolve().parent)
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    _run(_ordered(socket.socket(fileno=int(sys.argv[1]))))
