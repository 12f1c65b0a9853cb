"""The suite on the digits, and docs/findings.md from it: python pictures/findings.py [--runs RUNS].

The page's own words stay; what stands between `<!-- NAME -->` and `<!-- end -->` is written anew,
and each figure that the page shows is drawn anew.
"""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "findings.md"

# What two cores do in two hours: narrow networks, and as few repetitions as an interval needs.
COMMANDS = (
    "dense-width",
    "autoencoder-bottleneck",
    "classes-by-width --model vgg11 --width 0.25 --width 0.125 --width 0.0625 --repetitions 3",
    "clutter-by-width --model vgg11 --width 0.25 --width 0.125 --width 0.0625 --repetitions 3",
    "emergence --width 0.25 --width 0.125 --repetitions 3",
    "vgg-grid --width 0.25 --width 0.125 --width 0.0625 --repetitions 3",
    "vgg-grid --data digits --width 0.5 --repetitions 1",
    "tail --width 0.25 --width 0.125",
)
EXPERIMENTS = tuple(dict.fromkeys(command.split()[0] for command in COMMANDS))

_FIGURE = re.compile(r"\(pictures/findings/([a-z-]+)/([\w.-]+\.png)\)")


def main() -> None:
    """Run what is not done, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are")
    runs = parser.parse_args().runs.resolve()
    for command in COMMANDS:
        name, *options = shlex.split(command)
        _fathom("run", name, *options, "--out", str(runs / name))
    read = {name: _read(runs / name) for name in EXPERIMENTS}
    blocks = {
        "commands": _commands(),
        "trainings": _trainings(runs, read),
        "claims": _claims(read),
        **{name: _fathom("findings", "--markdown", "--out", str(runs / name)) for name in read},
    }
    PAGE.write_text(_filled(PAGE.read_text(), blocks))
    for name in EXPERIMENTS:
        _fathom("figures", "--out", str(runs / name))
    _copy_figures(PAGE.read_text(), runs)


def _fathom(*arguments: str) -> str:
    """Run a subcommand of `fathom experiment`, and return what it prints."""
    command = [str(Path(sys.executable).with_name("fathom")), "experiment", *arguments]
    print(shlex.join(["fathom", "experiment", *arguments]), flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _read(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(_fathom("findings", "--json", "--out", str(folder)))
    return found


def _commands() -> str:
    lines = "\n".join(f"    fathom experiment run {command}" for command in COMMANDS)
    return f"{lines}\n    fathom experiment figures NAME\n    fathom experiment findings NAME\n"


def _trainings(runs: Path, read: dict[str, dict]) -> str:
    """Return a table of how many trainings there were, and how long they took."""
    lines = ["| experiment | trainings | core minutes | test accuracy |", "|---|---|---|---|"]
    whole = 0.0
    for name in read:
        marks = [json.loads(path.read_text()) for path in (runs / name).glob("tasks/*/done.json")]
        minutes = sum(mark["seconds"] * mark["threads"] for mark in marks) / 60
        whole += minutes
        right = sorted(mark["test_accuracy"] for mark in marks if "test_accuracy" in mark)
        span = f"{right[0]:.3f} to {right[-1]:.3f}" if right else "–"
        lines.append(f"| `{name}` | {len(marks)} | {minutes:.0f} | {span} |")
    lines.append(
        f"\n{whole:.0f} core minutes in all, with torch {torch.__version__}; other programs ran on "
        "the same cores."
    )
    return "\n".join(lines)


def _claims(read: dict[str, dict]) -> str:
    """Return a table of claims, with how often each holds."""
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    for body in read.values():
        for each in body["findings"]:
            verdicts.setdefault((each["claim"], each["source"]), Counter())[each["verdict"]] += 1
    lines = [
        "| claim | source | holds | does not hold | not enough data |",
        "|---|---|---|---|---|",
    ]
    for (claim, source), count in verdicts.items():
        numbers = (count[each] or "–" for each in ("holds", "does not hold", "not enough data"))
        lines.append(f"| {claim} | {source} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def _filled(page: str, blocks: dict[str, str]) -> str:
    for name, text in blocks.items():
        place = re.compile(rf"<!-- {name} -->\n.*?<!-- end -->", re.DOTALL)
        if not place.search(page):
            sys.exit(f"findings: {PAGE} must have a place for {name!r}: <!-- {name} -->")
        new = f"<!-- {name} -->\n{text.strip(chr(10))}\n<!-- end -->"
        page = place.sub(lambda _, new=new: new, page)
    return page


def _copy_figures(page: str, runs: Path) -> None:
    for name, file in _FIGURE.findall(page):
        target = PAGE.parent / "pictures" / "findings" / name / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(runs / name / "figures" / file, target)


if __name__ == "__main__":
    main()
