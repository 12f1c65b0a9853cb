"""The pictures of the documentation: python pictures [--run RUN] [--only NAME] [--write FOLDER].

Each view has a file of its own with a function from an open run and a folder to what it wrote
there; `VIEWS` lists them.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path

import pages
import plots
import projections
import similarity
import terminal

from fathom.experiments.demo import train
from fathom.views.run import Run, open_run

View = Callable[[Run, Path], Iterable[Path]]

VIEWS: dict[str, View] = {
    "plots": plots.draw,
    "terminal": terminal.draw,
    "pages": pages.draw,
    "projections": projections.draw,
    "similarity": similarity.draw,
}

_MOST = 150_000
"""Bytes of one picture: a page with all of them still opens at once."""


def main() -> None:
    """Train the demo, unless a run is given, and draw every view of it."""
    arguments = _parser().parse_args()
    target = arguments.write.resolve()
    target.mkdir(parents=True, exist_ok=True)
    given = arguments.run and arguments.run.resolve()
    # Pictures show the path of the run: let it be one that readers may have.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        path = given or _trained(Path("runs/demo"))
        with open_run(path) as run:
            for name in arguments.only or VIEWS:
                for picture in VIEWS[name](run, target):
                    print(f"{picture}: {picture.stat().st_size:,} bytes", flush=True)
                    if picture.stat().st_size > _MOST:
                        sys.exit(f"pictures: {picture} must be at most {_MOST:,} bytes.")


def _trained(path: Path) -> Path:
    for share, snapshot in train(path):
        if snapshot is not None:
            print(f"\rtraining the demo: {share:4.0%}", end="", flush=True)
    print()
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pictures", description=__doc__)
    parser.add_argument("--run", type=Path, help="draw this run of the demo, and train none")
    parser.add_argument("--only", action="append", choices=tuple(VIEWS), help="these views alone")
    parser.add_argument(
        "--write", type=Path, default=Path("docs/pictures"), help="where (default: docs/pictures)"
    )
    return parser


if __name__ == "__main__":
    main()
