"""Serve the live page from an address of this machine until it is told to end."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from fathom.errors import ArgumentError
from fathom.views.server.app import LivePage
from fathom.views.server.root import Root
from fathom.views.server.security import Access, is_address, new_token

PORT = 8317
"""Unless another is asked for; any that is free where it is taken."""

# An address of no machine: no packet goes there, but the way to it tells this machine's own.
_FAR = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class Site:
    """Where the page is served.

    Attributes:
        link: To the page, with the token where one is needed.
        port: That is listened at.
        token: Whether one is needed.
    """

    link: str
    port: int
    token: bool


def serve(folder: Path, *, host: str, port: int | None, ready: Callable[[Site], object]) -> None:
    """Serve the runs below a folder until the process is told to end (Ctrl-C).

    Args:
        folder: Of runs, or a single run's own; it need not exist yet.
        host: A name or address of this machine.
        port: None for `PORT`, or any that is free where that is taken; 0 for any that is free.
        ready: Called once the address can be opened.

    Raises:
        ArgumentError: If the address cannot be listened at.
    """
    listening = _listening(host, port)
    address, bound = listening.getsockname()[:2]
    is_open = not ip_address(address.partition("%")[0]).is_loopback
    access = Access(
        port=bound,
        names=frozenset({host.lower(), address}),
        token=new_token() if is_open else None,
    )
    page = LivePage(Root(folder.absolute()), access)
    config = uvicorn.Config(
        page.guarded,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    ready(Site(_link(host, access), bound, is_open))
    # Uvicorn ends in order first, and then raises the signal that it was sent once more.
    with listening, suppress(KeyboardInterrupt):
        _Server(config, page).run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, page: LivePage):
        super().__init__(config)
        self._page = page

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._page.events.close()
        await super().shutdown(sockets)


def _listening(host: str, port: int | None) -> socket.socket:
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as error:
        if port is None and not isinstance(error, socket.gaierror):
            with suppress(OSError):
                return _bound(host, 0)
        at = "--port" if host and not isinstance(error, socket.gaierror) else "--host"
        raise ArgumentError(
            f"serve: {at} must be free on this machine, got {host} port "
            f"{PORT if port is None else port}: {error.strerror or error}."
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_REUSEADDR") and socket.SO_REUSEADDR:
            # A server that was killed leaves connections behind for a minute.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _link(host: str, access: Access) -> str:
    if access.token is None:
        return f"http://{_written(host)}:{access.port}/"
    everywhere = is_address(host) and ip_address(host).is_unspecified
    shown = _own_address() if everywhere else host
    return f"http://{_written(shown)}:{access.port}/?token={access.token}"


def _own_address() -> str:
    """Return the address by which others reach this machine, or else its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(OSError):
        asking.connect(_FAR)
        return str(asking.getsockname()[0])
    return socket.gethostname()


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host
