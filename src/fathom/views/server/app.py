"""The addresses of the live page, and what is behind each."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fathom.errors import ArgumentError, FathomError, RunNotFoundError
from fathom.views.server.events import Events, EventStream, TooManyError
from fathom.views.server.files import PageFile, page_files
from fathom.views.server.listing import Listing
from fathom.views.server.packing import compressed, decompressed, encoded
from fathom.views.server.root import Root
from fathom.views.server.runs import OpenRuns
from fathom.views.server.security import Access, Guard

MOST_NAMES = 16
"""How many runs one stream of events may be about."""

_WHOLE = re.compile(r"-?[0-9]{1,19}")


class LivePage:
    """The live page of the runs below a folder, as an ASGI application."""

    def __init__(self, root: Root, access: Access):
        """Prepare it; nothing is read before somebody asks.

        Args:
            root: Where the runs lie.
            access: Who may ask.
        """
        self._runs = OpenRuns(root)
        self._listing = Listing(root)
        self.events = Events(self._runs, self._listing)
        """To be closed when the server ends."""
        app = Starlette(
            routes=[
                Route("/api/runs", self._list),
                Route("/api/run", self._run),
                Route("/api/spectrum", self._spectrum),
                Route("/api/events", self._listen),
                *(Route(address, _file(file)) for address, file in page_files().items()),
            ],
            exception_handlers={
                HTTPException: _refused,
                TooManyError: _too_many,
                FathomError: _failed,
                Exception: _broken,
            },
        )
        # Which would send to an address made of what the client says.
        app.router.redirect_slashes = False
        self.guarded: ASGIApp = Guard(app, access)
        """What a server is to run."""

    async def _list(self, request: Request) -> Response:
        return _data(request, await asyncio.to_thread(self._listing.document))

    async def _run(self, request: Request) -> Response:
        with self._runs.use(_one(request, "name")) as followed:
            return _data(request, await asyncio.to_thread(followed.document))

    async def _spectrum(self, request: Request) -> Response:
        step = _one(request, "step")
        if not _WHOLE.fullmatch(step):
            raise ArgumentError(f"serve: step must be a whole number, got {step[:100]!r}.")
        phase, layer = _one(request, "phase"), _one(request, "layer")
        with self._runs.use(_one(request, "name")) as followed:
            found = await asyncio.to_thread(
                followed.spectrum, phase=phase, layer=layer, step=int(step)
            )
        return _data(request, compressed(encoded(found)))

    async def _listen(self, request: Request) -> EventStream:
        names = list(dict.fromkeys(request.query_params.getlist("name")))
        if len(names) > MOST_NAMES:
            raise ArgumentError(
                f"serve: name must be given at most {MOST_NAMES} times, got {len(names)}."
            )
        return self.events.stream(names)


def _one(request: Request, key: str) -> str:
    values = request.query_params.getlist(key)
    if len(values) != 1:
        raise ArgumentError(f"serve: {key} must be given once, got {len(values)} of it.")
    return values[0]


def _data(request: Request, body: bytes) -> Response:
    return _answer(request, body, kind="application/json")


def _answer(
    request: Request, body: bytes, *, kind: str, headers: dict[str, str] | None = None
) -> Response:
    """Send what is compressed as it is, but to a client that does not take that."""
    accepted = request.headers.get("accept-encoding", "")
    takes = any(
        re.fullmatch(r"\s*(gzip|\*)\s*(;\s*q=(?!0(\.0*)?\s*$).*)?", each, re.IGNORECASE)
        for each in accepted.split(",")
    )
    return Response(
        body if takes else decompressed(body),
        media_type=kind,
        headers={
            "Vary": "Accept-Encoding",
            **({"Content-Encoding": "gzip"} if takes else {}),
            **(headers or {}),
        },
    )


def _file(file: PageFile) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        headers = {"Cache-Control": "no-cache"}
        return _answer(request, file.compressed, kind=file.kind, headers=headers)

    return answer


def _error(status: int, message: str) -> Response:
    return Response(encoded({"error": message}), status, media_type="application/json")


def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, RunNotFoundError):
        return _error(HTTPStatus.NOT_FOUND, str(error))
    if isinstance(error, ArgumentError):
        return _error(HTTPStatus.BAD_REQUEST, str(error))
    return _error(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    return _error(status, f"{HTTPStatus(status).phrase}.")


def _too_many(request: Request, error: Exception) -> Response:
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, "Too many listen already. Close some pages.")


def _broken(request: Request, error: Exception) -> Response:
    return _error(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The server has a fault of its own; what it was stands in its terminal.",
    )
