"""Serve the live page from an address of this machine until it is told to end."""

import errno
import gc
import os
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
from fathom.views.server.security import Access, is_address, new_token, own_names

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
        ArgumentError: If the address cannot be listened at, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(
            f"serve: folder must be a folder of runs, or of one, got {folder}, which is a file. "
            "Pass the folder that it lies in."
        )
    listening = _listening(host, port)
    address, bound = listening.getsockname()[:2]
    is_open = not ip_address(address.partition("%")[0]).is_loopback
    names = frozenset({host.lower(), address})
    access = Access(
        port=bound,
        names=names | own_names() if is_open else names,
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
    # What is imported stays: to go through all of it takes the collector 0.1 s and more, and the
    # first big document that is asked for would wait for that.
    gc.collect()
    gc.freeze()
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
    """Listen at an address; a port of its own choice is another one where that is taken."""
    wanted = PORT if port is None else port
    try:
        return _bound(host, wanted)
    except PermissionError as error:
        raise ArgumentError(
            f"serve: --port must be one that you may listen at, got {wanted}: {error.strerror}. "
            "Pass one from 1024 on."
        ) from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ArgumentError(
                f"serve: --host must be a name or address of this machine, got {host!r}: "
                f"{error.strerror or error}. Leave it out for this machine alone, or pass 0.0.0.0."
            ) from error
    except UnicodeError as error:
        raise ArgumentError(f"serve: --host must be a name or address, got {host!r}.") from error
    if port is None:
        return _bound(host, 0)
    raise ArgumentError(
        f"serve: --port must be free, got {port}, which another program listens at. Leave it out "
        "for one that is free."
    )


def _bound(host: str, port: int) -> socket.socket:
    if not host:  # which would be every address of the machine
        raise OSError(errno.EADDRNOTAVAIL, "no host")
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A server that was killed leaves connections behind for a minute. On Windows the same
            # word means another thing: two servers at one port.
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
