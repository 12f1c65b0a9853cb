"""The page of the documentation that lists every way of training that the tests run.

A test marked `regime("torch.compile")` gives that section of the page one line: its name as a
sentence, the parameters it ran with, and what came of it.
"""

import platform
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

SECTIONS = {
    "Compiled": "torch.compile",
    "Checkpointing": "Activation checkpointing",
    "Precision": "Mixed precision",
    "Modes": "Gradient accumulation, no_grad, transforms, tracing, threads",
    "Copies and wrappers": "Copies, averages, adapters, quantisation",
    "Calls": "Odd calls: shared modules, empty batches, experts without tokens",
    "Processes": "Many processes",
    "Transformers": "Transformers and padding",
    "Resume": "Resume in the middle of a window",
    "Told": "What was not seen is told",
}
"""The sections of the page, in order, by the name that a mark gives."""

_HEAD = """\
# Ways of training

Each line is a test that runs that way of training and compares fathom's numbers, layer by layer,
with a slow float64 reference on the same rows (or, where nothing is to be counted, shows that
nothing was and that it was said). The page is written by the tests themselves: `make regimes`.
[What it does not do](limits.md) says which ways fathom does not read, and how it says so.

Last run: torch {torch}, Python {python}, on {device}.
"""


class Page:
    """Gathers outcomes while tests run, and writes the page at the end."""

    def __init__(self, path: Path, device: str):
        self._path = path
        self._device = device
        self._cases: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._outcomes: dict[str, list[str]] = defaultdict(list)
        self._line_of: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if section := section_of(item):
                sentence = sentence_of(item)
                self._line_of[item.nodeid] = sentence
                case = getattr(getattr(item, "callspec", None), "id", "")
                self._cases[section][sentence] += [case] if case else []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        sentence = self._line_of.get(report.nodeid)
        if sentence and (report.when == "call" or not report.passed):
            self._outcomes[sentence].append(report.outcome)

    def pytest_sessionfinish(self) -> None:
        head = {"torch": torch.__version__, "python": platform.python_version()}
        lines = [_HEAD.format(**head, device=self._device)]
        for section, title in SECTIONS.items():
            lines += [f"## {title}", "", "| what was run | with | outcome |", "|---|---|---|"]
            for sentence, cases in sorted(self._cases[section].items()):
                outcomes = self._outcomes[sentence]
                told = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
                lines.append(f"| {sentence} | {_shortened(cases)} | {told} |")
            lines.append("")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("\n".join(lines), encoding="utf-8")


def section_of(item: pytest.Item) -> str | None:
    """Return the section that a test belongs to, if it is marked."""
    mark = item.get_closest_marker("regime")
    return None if mark is None else str(mark.args[0])


def sentence_of(item: pytest.Item) -> str:
    """Return a test's name as a sentence."""
    original: Any = getattr(item, "originalname", None) or item.name
    sentence = str(original).removeprefix("test_").replace("_", " ")
    return sentence[0].upper() + sentence[1:]


def _shortened(cases: list[str]) -> str:
    shown = [case.replace("|", "/") for case in cases[:6]]
    return "; ".join(shown) + (f"; {len(cases) - 6} more" if len(cases) > 6 else "")
