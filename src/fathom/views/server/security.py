"""Who may ask, and what every answer says: the first thing that each request meets."""

import hmac
import json
import re
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""

_METHODS = ("GET", "HEAD")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)(?::([0-9]{1,5}))?")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask.

    Without a token only the loopback's own names are taken, with the right port: another name that
    leads here is that of a page which has its own name lead here, to read what it must not. Such a
    page has no token, so that with one the check may be wider: any address, whose owner no name
    server decides, the names of this machine, and any port, as tunnels and containers change it.

    Attributes:
        port: That is listened at.
        names: Of the host that are taken beside those of the loopback, in lower case; with a token
            those of `own_names` belong to them.
        token: That every request must have; None on a loopback.
    """

    port: int
    names: frozenset[str] = frozenset()
    token: str | None = None

    @property
    def cookie(self) -> str:
        """The name of the cookie; cookies know no port, so that each server has its own."""
        return f"fathom-{self.port}"

    def takes(self, host: str, port: int) -> bool:
        """Tell whether this is a name of this server.

        Args:
            host: In lower case, an IPv6 address without brackets.
            port: 80, where the header has none.

        Returns:
            Whether the request may go on.
        """
        if self.token is None:
            return port == self.port and host in _LOOPBACK | self.names
        return host in _LOOPBACK | self.names or is_address(host)

    def knows(self, token: str) -> bool:
        """Tell whether this is the token, in a time that does not depend on it."""
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())


def own_names() -> frozenset[str]:
    """Return the names of this machine, in lower case; may ask a name server.

    Returns:
        As it is called, with and without its domain, and as its own network calls it.
    """
    own = socket.gethostname().lower()
    first = own.partition(".")[0]
    return frozenset({own, first, f"{first}.local", socket.getfqdn().lower()})


def new_token() -> str:
    """Return 256 random bits, for a link."""
    return secrets.token_urlsafe(32)


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Guard:
    """Refuses whoever may not ask, and completes the headers of every answer."""

    def __init__(self, app: ASGIApp, access: Access):
        """Stand before an application.

        Args:
            app: That answers.
            access: Who may ask it.
        """
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have the application answer."""
        if scope["type"] != "http":
            raise RuntimeError(f"serve: only HTTP is spoken here, got {scope['type']}")

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(scope)
        if refused is None:
            await self._app(scope, receive, complete)
            return
        status, error, headers = refused
        body = json.dumps({"error": error}).encode() if error else b""
        raw = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        raw += [(key.encode(), value.encode()) for key, value in headers.items()]
        await complete({"type": "http.response.start", "status": status, "headers": raw})
        await complete(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    def _refused(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        """Return status, error and headers of the answer to a request that goes no further."""
        if scope["method"] not in _METHODS:
            return 405, "Only GET and HEAD are answered here.", {"allow": ", ".join(_METHODS)}
        hosts = _values(scope, b"host")
        read = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if read is None:
            return 400, "The Host header must be one host, with its port.", {}
        if not self._access.takes(read[1].strip("[]"), int(read[2] or 80)):
            return 421, "This is not a name of this server. Use the address that it printed.", {}
        if self._access.token is None:
            return None
        return self._without_token(scope)

    def _without_token(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        access = self._access
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for key, value in query if key == "token"]
        if scope["path"] == "/" and given:
            if not access.knows(given[0]):
                return 401, "This token is not that of this server, or of an earlier start.", {}
            rest = urlencode([(key, value) for key, value in query if key != "token"])
            # Not Strict: whoever clicks the link in a mail or a chat comes from another site, and
            # the cookie must go with the answer to that. Lax goes with such a click alone, which
            # changes nothing here, and whose answer the other site cannot read.
            cookie = f"{access.cookie}={access.token}; Path=/; HttpOnly; SameSite=Lax"
            return 303, "", {"location": f"/?{rest}" if rest else "/", "set-cookie": cookie}
        if any(access.knows(token) for token in _tokens(scope, access.cookie)):
            return None
        return (
            401,
            "A token is needed. Open the whole link that fathom serve printed.",
            {"www-authenticate": "Bearer"},
        )


def _tokens(scope: Scope, cookie: str) -> Iterable[str]:
    for value in _values(scope, b"authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            yield token.strip()
    for value in _values(scope, b"cookie"):
        for pair in value.split(";"):
            name, _, token = pair.strip().partition("=")
            if name == cookie:
                yield token


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
