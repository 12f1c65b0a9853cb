"""`fathom serve`."""

import webbrowser
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from fathom.extras import require


def serve(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A folder of runs, or of one; it may not exist yet."),
    ] = Path("runs"),
    host: Annotated[
        str,
        typer.Option(help="The address to listen at. Any but the loopback's asks for a token."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Default: 8317, or a free one where that is taken."),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Show runs as a page that moves while they are written.

    Example: fathom serve runs
    """
    for package in ("starlette", "uvicorn"):
        require(package, extra="serve")
    from fathom.views.server.serving import PORT, Site
    from fathom.views.server.serving import serve as serve_page

    def tell(site: Site) -> None:
        if port is None and site.port != PORT:
            typer.echo(f"Port {PORT} is taken; another one is used.")
        if site.token:
            typer.echo("Whoever has this link can read the runs, over a connection that is not")
            typer.echo("encrypted. It ends with this server.")
        if not folder.exists():
            typer.echo(f"There is no {folder} yet; it is shown as soon as there is.")
        typer.echo(f"Serving {folder} at {site.link}  (Ctrl-C ends it)")
        if open_page:
            # A browser of the terminal goes on until it is left, and the page is served meanwhile.
            Thread(target=webbrowser.open, args=(site.link,), daemon=True).start()

    serve_page(folder, host=host, port=port, ready=tell)
