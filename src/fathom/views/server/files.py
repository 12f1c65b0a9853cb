"""The files of the page, by address: fixed when the server starts, whatever is asked for."""

from dataclasses import dataclass

from fathom.views.assets import ASSETS, INDEX, asset
from fathom.views.server.packing import compressed


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file.

    Attributes:
        kind: Its media type.
        compressed: Its content, with gzip.
    """

    kind: str
    compressed: bytes


def page_files() -> dict[str, PageFile]:
    """Return the page and all that it loads.

    Returns:
        Address to file; `/` is the page itself.
    """
    start = PageFile("text/html; charset=utf-8", compressed(asset(INDEX).encode()))
    return {
        "/": start,
        **{
            f"/page/{name}": PageFile(kind, compressed(asset(name).encode()))
            for name, kind in ASSETS.items()
        },
    }
