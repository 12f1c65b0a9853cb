"""The files of the page, which a server gives out and a report holds inside itself."""

from pathlib import Path

PAGE = Path(__file__).with_name("page")

INDEX = "index.html"

STYLES = ("vendor/uPlot.min.css", "page.css")
LIBRARY = "vendor/uPlot.iife.min.js"
MODULES = (
    "source.js",
    "address.js",
    "elements.js",
    "words.js",
    "colours.js",
    "recording.js",
    "lines.js",
    "probes.js",
    "layers.js",
    "scale.js",
    "heatmap.js",
    "evolution.js",
    "spectrum.js",
    "metrics.js",
    "projection.js",
    "similarity.js",
    "table.js",
    "facts.js",
    "controls.js",
    "header.js",
    "runs.js",
    "page.js",
    "main.js",
)
"""The page's own scripts, each after those that it imports."""

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

ASSETS = {
    name: f"{TYPES[Path(name).suffix]}; charset=utf-8" for name in (*STYLES, LIBRARY, *MODULES)
}
"""What `index.html` needs from `page/`, with its media type."""


def asset(name: str) -> str:
    """Read a file of the page.

    Args:
        name: `INDEX` or a key of `ASSETS`.

    Returns:
        Its text.
    """
    return (PAGE / name).read_text(encoding="utf-8")
