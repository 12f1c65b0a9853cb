"""A command in a pseudo-terminal, as a person has it."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Iterable, Mapping

from preloaded import Preloaded

_PATIENCE = 120.0


class Terminal:
    """Runs what follows `python` in a terminal of its own, and keeps what it sends."""

    def __init__(
        self,
        command: Iterable[object],
        *,
        lines: int = 24,
        columns: int = 80,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.sent = b""
        self._terminal, theirs = pty.openpty()
        # The size is there before anything asks for it.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        known = {"TERM": "xterm-256color"} | dict(environment or {})
        self._process = Preloaded(command, [theirs] * 3, environment=known)
        os.close(theirs)

    @property
    def text(self) -> str:
        """What was sent, without the commands to the terminal."""
        sent = self.sent.decode(errors="replace")
        return re.sub(r"\x1b(\[[0-9;?<>=]*[a-zA-Z]|[78DM=>]|P[^\x1b]*\x1b\\)", "", sent)

    @property
    def attributes(self) -> list[object]:
        """How the terminal treats what is typed."""
        return list(termios.tcgetattr(self._terminal))

    def read_until(self, words: str) -> None:
        ends = time.monotonic() + _PATIENCE
        while words not in self.text:
            assert time.monotonic() < ends, f"{words!r} never came, but:\n{self.text}"
            assert self._read() or words in self.text, f"it ended without {words!r}:\n{self.text}"

    def listen(self, seconds: float) -> bytes:
        """Return what is sent within a time."""
        known, ends = len(self.sent), time.monotonic() + seconds
        while time.monotonic() < ends:
            self._read()
        return self.sent[known:]

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def end(self) -> int:
        """Read to the end, and return the exit status; of a signal, minus its number."""
        ends = time.monotonic() + _PATIENCE
        while self._read():
            if time.monotonic() > ends:
                self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        os.close(self._terminal)

    def _read(self) -> bool:
        """Take what is there within a while; False at the end."""
        if not select.select([self._terminal], [], [], 1.0)[0]:
            return True
        try:
            found = os.read(self._terminal, 65536)
        except OSError:  # nobody writes there any more
            return False
        self.sent += found
        return bool(found)
