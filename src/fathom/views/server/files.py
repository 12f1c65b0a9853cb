"""The files of the page, by address: fixed when the server starts, whatever is asked for."""

from dataclasses import dataclass

from fathom.views.assets import ASSETS, INDEX, MODULES, asset
from fathom.views.server.packing import compressed


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file.

    Attributes:
        kind: Its media type.
        compressed: Its content, with gzip.
        link: The header of that name, which has the browser fetch what it will need.
    """

    kind: str
    compressed: bytes
    link: str | None = None


def page_files() -> dict[str, PageFile]:
    """Return the page and all that it loads.

    Returns:
        Address to file; `/` is the page itself.
    """
    # All at once, or each script would be asked for when the one that imports it has come.
    modules = ", ".join(f"</page/{name}>; rel=modulepreload" for name in MODULES)
    start = PageFile("text/html; charset=utf-8", compressed(asset(INDEX).encode()), modules)
    return {
        "/": start,
        **{
            f"/page/{name}": PageFile(kind, compressed(asset(name).encode()))
            for name, kind in ASSETS.items()
        },
    }
